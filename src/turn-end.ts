/**
 * What the end of an attempt means: done, once more, or over, and what the chat is told.
 * Pure; every way in which a turn can end stands here once.
 */
import type { Limits } from './config.ts';
import type { Turn } from './db/turns.ts';
import type { ModelError } from './protocol.ts';
import type { RunEnd } from './types.ts';

export type TurnEnd =
  | { kind: 'done' }
  | { kind: 'stopped' }
  | { kind: 'timeout' }
  | { kind: 'model-error'; error: ModelError }
  | { kind: 'run-ended'; end: RunEnd };

export type Verdict =
  | { kind: 'done' }
  | {
      kind: 'again';
      reason: string;
      afterMs: number;
      /** Whether this attempt counts against the turn. */
      counts: boolean;
      notice: string | null;
    }
  | {
      kind: 'over';
      state: 'failed' | 'stopped';
      reason: string;
      /** The messages wait for the next turn of the chat; otherwise they are done with. */
      keepsMessages: boolean;
      notice: string | null;
    };

export function verdictOf(end: TurnEnd, turn: Turn, limits: Limits): Verdict {
  switch (end.kind) {
    case 'done':
      return { kind: 'done' };
    case 'stopped':
      return {
        kind: 'over',
        state: 'stopped',
        reason: 'stopped',
        keepsMessages: false,
        notice: null,
      };
    case 'timeout':
      return over(
        'turn-timeout',
        false,
        `I stopped: this took longer than ${limits.turnTimeoutMs / 60_000} minutes. Ask me to go on if I should.`,
      );
    case 'model-error':
      return modelVerdict(end.error, turn, limits);
    case 'run-ended':
      return runVerdict(end.end, turn, limits);
  }
}

function modelVerdict({ status, message }: ModelError, turn: Turn, limits: Limits): Verdict {
  const said = `${status ?? 'no answer'}: ${message.slice(0, 200)}`;
  if (status === 401 || status === 403)
    return over(
      'model-refused',
      true,
      `The model refuses my credential (${said}). Your message is kept: mend the credential in .env, restart me, and I answer it.`,
    );
  if (status !== null && status >= 400 && status < 500 && status !== 408 && status !== 429)
    return over(
      'model-rejected',
      false,
      `The model cannot take this conversation (${said}). /new starts a fresh one; my notes are kept.`,
    );
  const afterMs = limits.retryDelaysMs[turn.failures];
  if (afterMs === undefined)
    return over(
      'model-unavailable',
      true,
      `The model could not be reached in ${turn.failures + 1} attempts (${said}). Your message is kept: I answer it together with your next one.`,
    );
  const isNoticeDue = turn.failures + 1 === limits.attemptsBeforeNotice;
  return again('model-unavailable', afterMs, {
    notice: isNoticeDue
      ? `The model is not available at the moment (${said}). I keep trying; your message is kept.`
      : null,
  });
}

function runVerdict({ reason, detail }: RunEnd, turn: Turn, limits: Limits): Verdict {
  switch (reason) {
    case 'shutdown':
    case 'host-died':
    case 'idle':
    case 'evicted':
      return again(reason, 0, { counts: false });
    case 'stopped':
    case 'new-session':
      return { kind: 'over', state: 'stopped', reason, keepsMessages: false, notice: null };
    case 'crashed':
    case 'wire-broken':
    case 'start-failed':
    case 'start-timeout':
    case 'model-failed':
    case 'turn-timeout':
    case 'session-lost':
      if (turn.failures + 1 < limits.crashAttemptsMax)
        return again(reason, limits.crashRetryDelayMs, {
          // Nothing may be lost in silence.
          notice: reason === 'session-lost' ? lostNotice : null,
        });
      return over(
        reason,
        reason === 'start-failed' || reason === 'start-timeout',
        `I broke down ${turn.failures + 1} times over this and gave up (${reason}${detail ? `: ${detail.slice(0, 200)}` : ''}). Write again to have me try once more.`,
      );
  }
}

const lostNotice =
  'I could not reopen our earlier conversation and start a fresh one. My notes are kept.';

function over(reason: string, keepsMessages: boolean, notice: string): Verdict {
  return { kind: 'over', state: 'failed', reason, keepsMessages, notice };
}

function again(
  reason: string,
  afterMs: number,
  rest: { counts?: boolean; notice?: string | null },
): Verdict {
  return {
    kind: 'again',
    reason,
    afterMs,
    counts: rest.counts ?? true,
    notice: rest.notice ?? null,
  };
}
