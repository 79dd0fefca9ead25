import { describe, expect, test } from 'vitest';
import { defaultLimits } from './config.ts';
import type { Turn } from './db/turns.ts';
import { verdictOf } from './turn-end.ts';
import type { RunEndReason } from './types.ts';

function turn(failures: number): Turn {
  return {
    id: 1,
    agentId: 'main',
    state: 'running',
    attempt: failures + 1,
    failures,
    reason: null,
  };
}

function modelError(status: number | null) {
  return { kind: 'model-error' as const, error: { status, message: 'words of the API' } };
}

function runEnd(reason: RunEndReason) {
  return { kind: 'run-ended' as const, end: { reason, detail: '' } };
}

describe('after a failed call of the model, a turn', () => {
  test.each([401, 403])(
    'ends, says so and keeps the message when the credential is refused (%i)',
    (status) => {
      const verdict = verdictOf(modelError(status), turn(0), defaultLimits);
      expect(verdict).toMatchObject({ kind: 'over', fate: 'release' });
      expect(verdict).toHaveProperty('notice', expect.stringContaining('.env'));
    },
  );

  test.each([400, 404, 413])(
    'ends and offers /new when the conversation is rejected (%i)',
    (status) => {
      const verdict = verdictOf(modelError(status), turn(0), defaultLimits);
      expect(verdict).toMatchObject({ kind: 'over', fate: 'close' });
      expect(verdict).toHaveProperty('notice', expect.stringContaining('/new'));
    },
  );

  test.each([408, 429, 500, 502, 529, null])(
    'is retried when the model is not available (%s)',
    (status) => {
      expect(verdictOf(modelError(status), turn(0), defaultLimits)).toMatchObject({
        kind: 'again',
        afterMs: 5000,
        counts: true,
        notice: null,
      });
    },
  );

  test('says the status once, though `claude` says it too', () => {
    const error = { status: 400, message: 'API Error: 400 too long' };
    const verdict = verdictOf({ kind: 'model-error', error }, turn(0), defaultLimits);
    expect(verdict.notice).toContain('(400: too long)');
  });

  test('waits longer before each retry, tells the chat once, and says so when it gives up', () => {
    const verdicts = defaultLimits.retryDelaysMs.map((_, failures) =>
      verdictOf(modelError(529), turn(failures), defaultLimits),
    );
    const waits = verdicts.map((verdict) => (verdict.kind === 'again' ? verdict.afterMs : -1));
    expect(waits).toEqual(defaultLimits.retryDelaysMs);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(verdicts.filter((verdict) => verdict.kind === 'again' && verdict.notice)).toHaveLength(
      1,
    );
    const last = verdictOf(modelError(529), turn(waits.length), defaultLimits);
    expect(last).toMatchObject({ kind: 'over', fate: 'release' });
    expect(last).toHaveProperty('notice', expect.stringContaining('kept'));
  });
});

describe('after the end of its container, a turn', () => {
  test.each(['shutdown', 'host-died', 'idle', 'evicted'] as const)(
    'counts no failure when the host has ended it (%s)',
    (reason) =>
      expect(verdictOf(runEnd(reason), turn(2), defaultLimits)).toMatchObject({
        kind: 'again',
        counts: false,
      }),
  );

  test('starts a fresh session and says so when the session is lost', () =>
    expect(verdictOf(runEnd('session-lost'), turn(0), defaultLimits)).toMatchObject({
      kind: 'again',
      notice: expect.stringContaining('fresh'),
    }));

  test.each(['crashed', 'wire-broken', 'start-failed', 'start-timeout', 'session-lost'] as const)(
    'is retried a limited number of times when it ended by itself (%s)',
    (reason) => {
      expect(verdictOf(runEnd(reason), turn(0), defaultLimits)).toMatchObject({
        kind: 'again',
        counts: true,
      });
      expect(verdictOf(runEnd(reason), turn(2), defaultLimits)).toMatchObject({
        kind: 'over',
        notice: expect.stringContaining('3 times'),
      });
    },
  );

  test('keeps the message when no container can be started', () => {
    expect(verdictOf(runEnd('start-failed'), turn(2), defaultLimits)).toMatchObject({
      fate: 'release',
    });
    expect(verdictOf(runEnd('crashed'), turn(2), defaultLimits)).toMatchObject({
      fate: 'close',
    });
  });
});

test('a turn that has filled the disk ends without a retry, and says what is too much', () => {
  const end = { reason: 'folder-full', detail: 'my files take more than 10 GiB' } as const;
  expect(verdictOf({ kind: 'run-ended', end }, turn(0), defaultLimits)).toEqual({
    kind: 'over',
    reason: 'folder-full',
    fate: 'close',
    notice: 'I stopped: my files take more than 10 GiB. Ask me to delete what is not needed.',
  });
});

test('a turn that takes too long ends and says so', () => {
  expect(verdictOf(runEnd('turn-timeout'), turn(0), defaultLimits)).toMatchObject({
    kind: 'over',
    reason: 'turn-timeout',
    notice: expect.stringContaining('30 minutes'),
  });
});
