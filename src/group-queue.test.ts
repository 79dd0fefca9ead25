import { describe, expect, test } from 'vitest';
import { HeldClock, promisesSettled } from '../test/support/held-clock.ts';
import { type Deferred, deferred } from './deferred.ts';
import { GroupQueue, type NextRun } from './group-queue.ts';

/** A queue whose runs end when the test says so; agents stay warm unless named in `cold`. */
function startQueue(slotsMax: number, isOpen = true) {
  const clock = new HeldClock();
  const started: string[] = [];
  const nudged: string[] = [];
  const evicted: string[] = [];
  const failed: string[] = [];
  const running = new Map<string, Deferred<NextRun>>();
  const warm = new Set<string>();
  let takesNudges = true;
  let areNudgesBroken = false;
  const queue = new GroupQueue({
    slotsMax,
    clock,
    idleTimeoutMs: 600_000,
    run: (agentId) => {
      started.push(agentId);
      warm.add(agentId);
      const run = deferred<NextRun>();
      running.set(agentId, run);
      return run.promise;
    },
    nudge: (agentId) => {
      nudged.push(agentId);
      if (areNudgesBroken) throw new Error('disk full');
      return takesNudges;
    },
    isWarm: (agentId) => warm.has(agentId),
    warm: (agentId) => void warm.add(agentId),
    evict: (agentId) => void evicted.push(agentId),
    isFirst: (agentId) => agentId === 'main',
    failed: (agentId) => void failed.push(agentId),
    settled: () => {},
  });
  if (isOpen) queue.open();
  return {
    queue,
    clock,
    started,
    nudged,
    evicted,
    failed,
    breakNudges: () => {
      areNudgesBroken = true;
    },
    refuseNudges: () => {
      takesNudges = false;
    },
    async end(agentId: string, next: NextRun = { kind: 'none' }, staysWarm = true) {
      if (!staysWarm) warm.delete(agentId);
      running.get(agentId)?.resolve(next);
      await promisesSettled();
    },
    async gone(agentId: string) {
      warm.delete(agentId);
      queue.release(agentId);
      await promisesSettled();
    },
  };
}

describe('the queue', () => {
  test('runs one turn per agent at a time and hands later arrivals to the running one', () => {
    const { queue, started, nudged } = startQueue(5);
    queue.enqueue('a');
    queue.enqueue('a');
    expect(started).toEqual(['a']);
    expect(nudged).toEqual(['a']);
  });

  test('gives out no slot before it is opened, and then the first come first', () => {
    const { queue, started } = startQueue(1, false);
    for (const id of ['a', 'b', 'main']) queue.enqueue(id);
    queue.warm('c');
    expect(started).toEqual([]);
    expect(queue.isBusy('a')).toBe(true);
    queue.open();
    expect(started).toEqual(['a', 'main']);
    expect(queue.isBusy('c')).toBe(false);
  });

  test('runs again when the running turn could not take what arrived', async () => {
    const { queue, started, end, refuseNudges } = startQueue(5);
    refuseNudges();
    queue.enqueue('a');
    queue.enqueue('a');
    await end('a');
    expect(started).toEqual(['a', 'a']);
  });

  test('does not run again for what the running turn has taken', async () => {
    const { queue, started, end } = startQueue(5);
    queue.enqueue('a');
    queue.enqueue('a');
    await end('a');
    expect(started).toEqual(['a']);
    expect([queue.count('running'), queue.count('idle'), queue.count('waiting')]).toEqual([
      0, 1, 0,
    ]);
  });

  test('starts an idle agent at once, even when all slots are used', async () => {
    const { queue, started, end } = startQueue(1);
    queue.enqueue('a');
    await end('a');
    queue.enqueue('a');
    expect(started).toEqual(['a', 'a']);
  });

  test('evicts the longest-idle agent when another waits, and lets that one in when it is gone', async () => {
    const { queue, started, evicted, end, gone } = startQueue(2);
    queue.enqueue('a');
    queue.enqueue('b');
    await end('b');
    await end('a');
    queue.enqueue('c');
    expect(evicted).toEqual(['b']);
    expect(started).toEqual(['a', 'b']);
    await gone('b');
    expect(started).toEqual(['a', 'b', 'c']);
  });

  test('evicts an agent that has idled for long, and not one that was called back', async () => {
    const { queue, clock, evicted, end } = startQueue(5);
    queue.enqueue('a');
    queue.enqueue('b');
    await end('a');
    await end('b');
    clock.advance(400_000);
    queue.enqueue('b');
    clock.advance(200_000);
    expect(evicted).toEqual(['a']);
  });

  test('evicts no more agents than are waiting', async () => {
    const { queue, evicted, end } = startQueue(3);
    for (const agent of ['a', 'b', 'c']) queue.enqueue(agent);
    for (const agent of ['a', 'b', 'c']) await end(agent);
    queue.enqueue('d');
    queue.enqueue('e');
    expect(evicted).toEqual(['a', 'b']);
  });

  test('lets waiting agents in first come first served', async () => {
    const { queue, started, end } = startQueue(1);
    for (const agent of ['a', 'b', 'c']) queue.enqueue(agent);
    await end('a', { kind: 'none' }, false);
    await end('b', { kind: 'none' }, false);
    expect(started).toEqual(['a', 'b', 'c']);
  });

  test('sends an agent with more work to the end of the line when others wait', async () => {
    const { queue, started, evicted, end, gone, refuseNudges } = startQueue(1);
    refuseNudges();
    queue.enqueue('a');
    queue.enqueue('b');
    queue.enqueue('a');
    await end('a');
    expect(evicted).toEqual(['a']);
    await gone('a');
    expect(started).toEqual(['a', 'b']);
    await end('b', { kind: 'none' }, false);
    expect(started).toEqual(['a', 'b', 'a']);
  });

  test('never loses what arrives while an agent is being evicted', async () => {
    const { queue, started, end, gone } = startQueue(1);
    queue.enqueue('a');
    await end('a');
    queue.enqueue('b');
    queue.enqueue('a');
    expect(queue.isBusy('a')).toBe(true);
    await gone('a');
    await end('b', { kind: 'none' }, false);
    expect(started).toEqual(['a', 'b', 'a']);
  });

  test('frees the slot while an agent waits for another attempt, and then tries again', async () => {
    const { queue, clock, started, end } = startQueue(1);
    queue.enqueue('a');
    queue.enqueue('b');
    await end('a', { kind: 'retry', afterMs: 5000 }, false);
    expect(started).toEqual(['a', 'b']);
    expect(queue.isBusy('a')).toBe(true);
    await end('b', { kind: 'none' }, false);
    clock.advance(4999);
    expect(started).toEqual(['a', 'b']);
    clock.advance(1);
    expect(started).toEqual(['a', 'b', 'a']);
  });

  test('does not shorten the wait when something arrives meanwhile', async () => {
    const { queue, started, end } = startQueue(1);
    queue.enqueue('a');
    await end('a', { kind: 'retry', afterMs: 5000 }, false);
    queue.enqueue('a');
    expect(started).toEqual(['a']);
  });

  test('gives a head start only into a free slot, and takes it back like any idle one', async () => {
    const { queue, started, evicted, gone } = startQueue(2);
    queue.warm('a');
    queue.enqueue('b');
    queue.warm('c');
    expect(queue.count('idle')).toBe(1);
    expect(queue.isBusy('a')).toBe(false);
    queue.enqueue('d');
    expect(evicted).toEqual(['a']);
    await gone('a');
    expect(started).toEqual(['b', 'd']);
  });

  test('runs the turn of an agent that had a head start at once, and lets an unused one idle out', () => {
    const { queue, clock, started, evicted } = startQueue(2);
    queue.warm('a');
    queue.warm('b');
    queue.enqueue('a');
    expect(started).toEqual(['a']);
    clock.advance(600_000);
    expect(evicted).toEqual(['b']);
  });

  test('forgets a wait that was cancelled', async () => {
    const { queue, clock, started, end } = startQueue(1);
    queue.enqueue('a');
    await end('a', { kind: 'retry', afterMs: 5000 }, false);
    queue.cancel('a');
    clock.advance(10_000);
    expect(started).toEqual(['a']);
    expect(queue.isBusy('a')).toBe(false);
  });

  test('forgets an agent that was cancelled while it waited for a slot', async () => {
    const { queue, started, end } = startQueue(1);
    queue.enqueue('a');
    queue.enqueue('b');
    queue.cancel('b');
    expect(queue.isBusy('b')).toBe(false);
    await end('a', { kind: 'none' }, false);
    expect(started).toEqual(['a']);
  });

  test('starts main at once with every slot busy, and the others first come first served', async () => {
    const { queue, started, end } = startQueue(2);
    for (const agent of ['a', 'b', 'c', 'd', 'main']) queue.enqueue(agent);
    expect(started).toEqual(['a', 'b', 'main']);
    await end('a', { kind: 'none' }, false);
    expect(started).toEqual(['a', 'b', 'main']);
    await end('b', { kind: 'none' }, false);
    expect(started).toEqual(['a', 'b', 'main', 'c']);
    await end('main', { kind: 'none' }, false);
    expect(started).toEqual(['a', 'b', 'main', 'c', 'd']);
  });

  test('evicts an idle holder when main has gone over the slots', async () => {
    const { queue, started, evicted, end, gone } = startQueue(2);
    queue.enqueue('a');
    queue.enqueue('b');
    await end('a');
    queue.enqueue('main');
    expect(started).toEqual(['a', 'b', 'main']);
    expect(evicted).toEqual(['a']);
    await gone('a');
    queue.enqueue('c');
    expect(started).toEqual(['a', 'b', 'main']);
  });

  test('evicts main like any other when it idles over the slots', async () => {
    const { queue, evicted, end } = startQueue(1);
    queue.enqueue('a');
    queue.enqueue('main');
    await end('main');
    expect(evicted).toEqual(['main']);
  });

  test('takes the slot of an idle agent, and of a running one only to interrupt it', async () => {
    const { queue, started, evicted, end, gone } = startQueue(2);
    queue.enqueue('a');
    queue.enqueue('b');
    await end('a');
    queue.evict('a', { interrupt: false });
    queue.evict('b', { interrupt: false });
    queue.evict('nobody', { interrupt: true });
    expect(evicted).toEqual(['a']);
    queue.evict('b', { interrupt: true });
    expect(evicted).toEqual(['a', 'b']);
    expect(queue.isBusy('b')).toBe(true);
    await gone('a');
    await end('b', { kind: 'retry', afterMs: 0 }, false);
    expect(queue.isBusy('b')).toBe(true);
    expect(started).toEqual(['a', 'b']);
  });

  test('reports a run that broke and goes on with the next agent', async () => {
    const failed: string[] = [];
    const started: string[] = [];
    const queue = new GroupQueue({
      slotsMax: 1,
      clock: new HeldClock(),
      idleTimeoutMs: 600_000,
      run: async (agentId) => {
        started.push(agentId);
        if (agentId === 'a') throw new Error('broken');
        return { kind: 'none' };
      },
      nudge: () => true,
      isWarm: () => false,
      warm: () => {},
      evict: () => {},
      isFirst: () => false,
      failed: (agentId) => void failed.push(agentId),
      settled: () => {},
    });
    queue.open();
    queue.enqueue('a');
    queue.enqueue('b');
    await promisesSettled();
    expect(failed).toEqual(['a']);
    expect(started).toEqual(['a', 'b']);
    expect(queue.count('running') + queue.count('idle') + queue.count('waiting')).toBe(0);
  });

  test('never holds more slots than there are, over a long random life', async () => {
    const { queue, started, evicted, end, gone } = startQueue(3);
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    const wanted = new Map<string, number>();
    for (let round = 0; round < 400; round += 1) {
      const agent = `agent-${random(8)}`;
      const choice = random(4);
      if (choice <= 1) {
        queue.enqueue(agent);
        wanted.set(agent, (wanted.get(agent) ?? 0) + 1);
      } else if (choice === 2) await end(agent);
      else for (const leaving of evicted.splice(0)) await gone(leaving);
      const held = queue.count('running') + queue.count('idle') + queue.count('leaving');
      expect(held).toBeLessThanOrEqual(3);
    }
    for (let round = 0; round < 40; round += 1) {
      for (let index = 0; index < 8; index += 1) await end(`agent-${index}`);
      for (const leaving of evicted.splice(0)) await gone(leaving);
    }
    expect(queue.count('waiting')).toBe(0);
    expect(queue.count('running')).toBe(0);
    expect(new Set(started)).toEqual(new Set(wanted.keys()));
  });
});

test('an agent whose nudge failed runs again', async () => {
  const { queue, started, end, breakNudges } = startQueue(1);
  queue.enqueue('a');
  breakNudges();
  expect(() => queue.enqueue('a')).toThrow('disk full');
  await end('a');
  expect(started).toEqual(['a', 'a']);
});
