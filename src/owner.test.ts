import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HeldClock } from '../test/support/held-clock.ts';
import { temporaryFolder } from '../test/support/store.ts';
import { defaultLimits } from './config.ts';
import { saveGroup } from './db/groups.ts';
import { listPending, wordsOf } from './db/outbox.ts';
import { Store } from './db.ts';
import { mainGroup } from './groups.ts';
import { Outbox } from './outbox.ts';
import { createOwner } from './owner.ts';

const dayMs = 24 * 60 * 60_000;

/** The owner's chat at which nobody reads; `restart` gives the same on the same file. */
function openOwner() {
  const path = join(temporaryFolder(), 'nanoclaw.db');
  const clock = new HeldClock();
  const log = pino({ level: 'silent' });
  const start = () => {
    const store = new Store(path);
    saveGroup(store, mainGroup);
    const outbox = new Outbox({
      config: { filesDir: temporaryFolder() },
      store,
      clock,
      log,
      limits: defaultLimits,
      channelOf: () => undefined,
      leaving: () => {},
      delivered: () => {},
      refused: () => {},
      ended: () => {},
    });
    const stop = () => {
      outbox.close();
      store.close();
    };
    return { store, stop, owner: createOwner({ store, clock, outbox }) };
  };
  let now = start();
  onTestFinished(() => now.stop());
  return {
    clock,
    tell: (...args: Parameters<typeof now.owner.tell>) => now.owner.tell(...args),
    forget: (key: string) => now.owner.forget(key),
    told: () => listPending(now.store, mainGroup.chatId, 100).map(wordsOf),
    inTransaction: (work: () => void) => now.store.transaction(work),
    restart() {
      now.stop();
      now = start();
    },
  };
}

describe('a notice', () => {
  test('is told once a day by its key, whatever it says, also after a restart', () => {
    const { tell, told, clock, restart } = openOwner();
    tell('a is down', { key: 'a' });
    tell('a is down still', { key: 'a' });
    tell('b is down', { key: 'b' });
    clock.advance(dayMs / 2);
    restart();
    tell('a is down', { key: 'a' });
    expect(told()).toEqual(['a is down', 'b is down']);
  });

  test('is told again after a day, once', () => {
    const { tell, told, clock } = openOwner();
    tell('first', { key: 'a' });
    clock.advance(dayMs - 1);
    tell('too early', { key: 'a' });
    clock.advance(1);
    tell('a day later', { key: 'a' });
    tell('and again', { key: 'a' });
    expect(told()).toEqual(['first', 'a day later']);
  });

  test('is told again when what it stood for was over in between', () => {
    const { tell, told, forget } = openOwner();
    tell('down', { key: 'a' });
    tell('other', { key: 'b' });
    forget('a');
    tell('down again', { key: 'a' });
    tell('other again', { key: 'b' });
    expect(told()).toEqual(['down', 'other', 'down again']);
  });

  test('of a transaction that was undone has not been told', () => {
    const { tell, told, inTransaction } = openOwner();
    const broken = () =>
      inTransaction(() => {
        tell('too soon', { key: 'a' });
        throw new Error('no');
      });
    expect(broken).toThrow('no');
    tell('now', { key: 'a' });
    expect(told()).toEqual(['now']);
  });
});

describe('a topic', () => {
  const last = 'More was refused; I say no more today.';
  const atMost = { topic: 'refused', perDay: 5, last };

  test('is told of five times a day, then that there is more, and then not', () => {
    const { tell, told, restart } = openOwner();
    for (let number = 1; number <= 4; number += 1)
      tell(`host ${number}`, { key: `refused ${number}`, atMost });
    tell('host 4', { key: 'refused 4', atMost });
    restart();
    for (let number = 5; number <= 9; number += 1)
      tell(`host ${number}`, { key: `refused ${number}`, atMost });
    const five = ['host 1', 'host 2', 'host 3', 'host 4', 'host 5'];
    expect(told()).toEqual([...five, last]);
    tell('of something else', { key: 'x' });
    tell('of another topic', { key: 'y', atMost: { ...atMost, topic: 'other' } });
    expect(told()).toEqual([...five, last, 'of something else', 'of another topic']);
  });

  test('begins anew on the next day', () => {
    const { tell, told, clock } = openOwner();
    const flood = (name: string) => {
      for (let number = 1; number <= 8; number += 1)
        tell(`${name} ${number}`, { key: `${name} ${number}`, atMost });
    };
    flood('today');
    clock.advance(dayMs);
    flood('tomorrow');
    expect(told().filter((text) => text.startsWith('tomorrow'))).toHaveLength(5);
    expect(told().at(-1)).toBe(last);
    expect(told()).toHaveLength(12);
  });
});

test('what is not said uses up no limit: an agent that never rests silences nothing for good', () => {
  const { tell, told, clock } = openOwner();
  const atMost = { topic: 'web family', perDay: 5, last: 'and more' };
  const days = new Set<string>();
  for (let hour = 0; hour < 72; hour += 1) {
    days.add(new Date(clock.now()).toDateString());
    tell(`host ${hour}`, { key: `web family ${hour}`, atMost });
    clock.advance(60 * 60_000);
  }
  expect(told()).toHaveLength(days.size * 6);
  expect(told().filter((words) => words === 'and more')).toHaveLength(days.size);
});
