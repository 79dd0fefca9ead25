/**
 * What the end of an attempt means (a retry, or the end of the turn), and what the chat is told.
 * Pure.
 */
import type { Limits } from './config.ts';
import type { Turn } from './db/turns.ts';
import type { ModelError } from './protocol.ts';
import { clip } from './text.ts';
import type { RunEnd } from './types.ts';

export type TurnEnd =
  /** Committed already, with the last reply or by /stop. */
  | { kind: 'done' }
  | { kind: 'model-error'; error: ModelError }
  | { kind: 'run-ended'; end: RunEnd };

type Verdict = ReturnType<typeof again> | ReturnType<typeof over>;

export function verdictOf(
  end: Exclude<TurnEnd, { kind: 'done' }>,
  turn: Turn,
  limits: Limits,
): Verdict {
  return end.kind === 'model-error'
    ? modelVerdict(end.error, turn, limits)
    : runVerdict(end.end, turn, limits);
}

function modelVerdict({ status, message }: ModelError, turn: Turn, limits: Limits): Verdict {
  // `claude` says the status too.
  const said = `${status ?? 'no answer'}: ${clip(message.replace(/^API Error: (\d{3} )?/, ''), 200)}`;
  if (status === 401 || status === 403)
    return over(
      'model-refused',
      `The model refuses my credential (${said}). Your message is kept: mend the credential in .env, restart me, and I answer it.`,
      'release',
    );
  if (status !== null && status >= 400 && status < 500 && status !== 408 && status !== 429)
    return over(
      'model-rejected',
      `The model cannot take this conversation (${said}). /new starts a fresh one; my notes are kept.`,
    );
  const attempts = turn.failures + 1;
  const afterMs = limits.retryDelaysMs[turn.failures];
  if (afterMs === undefined)
    return over(
      'model-unavailable',
      `The model could not be reached in ${attempts} attempts (${said}). Your message is kept: I answer it together with your next one.`,
      'release',
    );
  const notice = `The model is not available at the moment (${said}). I keep trying; your message is kept.`;
  const isNoticeDue = attempts === limits.attemptsBeforeNotice;
  return again('model-unavailable', afterMs, isNoticeDue ? notice : null);
}

function runVerdict({ reason, detail }: RunEnd, turn: Turn, limits: Limits): Verdict {
  switch (reason) {
    case 'shutdown':
    case 'host-died':
    case 'idle':
    case 'evicted':
      return { ...again(reason, 0), counts: false };
    case 'turn-timeout':
      return over(
        reason,
        `I stopped: this took longer than ${limits.turnTimeoutMs / 60_000} minutes. Ask me to go on if I should.`,
      );
    case 'folder-full':
      return over(reason, `I stopped: ${detail}. Ask me to delete what is not needed.`);
    case 'too-many-requests':
      return over(reason, `I stopped: ${detail}. Ask me to go on if I should.`);
    default: {
      const attempts = turn.failures + 1;
      if (attempts < limits.crashAttemptsMax)
        return again(reason, limits.crashRetryDelayMs, reason === 'session-lost' ? lost : null);
      const why = detail ? `${reason}: ${clip(detail, 200)}` : reason;
      return over(
        reason,
        `I broke down ${attempts} times over this and gave up (${why}). Write again to have me try once more.`,
        reason.startsWith('start-') ? 'release' : 'close',
      );
    }
  }
}

const lost =
  'I could not reopen our earlier conversation and start a fresh one. My notes are kept.';

function again(reason: string, afterMs: number, notice: string | null = null) {
  return { kind: 'again' as const, reason, afterMs, counts: true, notice };
}

/** `release` leaves the messages to the chat's next turn. */
function over(reason: string, notice: string, fate: 'close' | 'release' = 'close') {
  return { kind: 'over' as const, reason, fate, notice };
}
