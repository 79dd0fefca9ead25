import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { HeldClock, promisesSettled } from '../test/support/held-clock.ts';
import { openTemporaryStore, temporaryFolder } from '../test/support/store.ts';
import { defaultLimits } from './config.ts';
import { findSaid, wordsOf } from './db/outbox.ts';
import { saveTurn } from './db/turns.ts';
import { type Deferred, deferred } from './deferred.ts';
import { Outbox } from './outbox.ts';
import type { Channel, Delivery, OutboundFile, OutboundMessage } from './types.ts';

const text = (words: string) => ({ kind: 'text' as const, text: words, about: null });
const agent = { lane: 'agent' } as const;

/** An outbox over a channel that the test opens, closes, holds up and lets refuse. */
function startOutbox(more: Partial<Channel> = {}) {
  const store = openTemporaryStore();
  const clock = new HeldClock();
  const config = { filesDir: temporaryFolder() };
  const attempts: OutboundMessage[] = [];
  const refusals: string[] = [];
  /** Uploads that the test ends. */
  const uploads = new Map<string, Deferred<void>>();
  const channel = { isUp: true, refusal: '' };
  const fake: Pick<Channel, 'name' | 'textMax' | 'deliver'> = {
    name: 'fake',
    textMax: 20,
    deliver: async (message, withdrawn): Promise<Delivery> => {
      attempts.push(message);
      if (!channel.isUp) throw new Error('down');
      if (channel.refusal) return { kind: 'refused', reason: channel.refusal };
      if (message.kind === 'file' && message.file.name === 'film.mp4') {
        const upload = deferred<void>();
        uploads.set(message.id, upload);
        await upload.promise;
        withdrawn.throwIfAborted();
      }
      return { kind: 'acknowledged' };
    },
    ...more,
  };
  const make = () =>
    new Outbox({
      config,
      store,
      log: pino({ level: 'silent' }),
      clock,
      limits: defaultLimits,
      channelOf: () => fake as Channel,
      leaving: () => {},
      delivered: () => {},
      ended: () => {},
      refused: (_, reason) => void refusals.push(reason),
    });
  const said = () => attempts.map(wordsOf);
  const states = () => store.all<{ state: string }>('SELECT state FROM outbox ORDER BY seq');
  return {
    outbox: make(),
    make,
    store,
    clock,
    attempts,
    said,
    states: () => states().map(({ state }) => state),
    refusals,
    channel,
    endUploads: () => {
      for (const upload of uploads.values()) upload.resolve();
    },
  };
}

function film(caption = ''): { kind: 'file'; text: string; file: OutboundFile; about: null } {
  const file = { hostPath: '/film.mp4', name: 'film.mp4', mime: 'video/mp4', sizeBytes: 1 };
  return { kind: 'file', text: caption, file, about: null };
}

describe('the outbox', () => {
  test('delivers in order, each message once', async () => {
    const { outbox, attempts } = startOutbox();
    outbox.add('c', text('one'));
    outbox.add('c', text('two'));
    outbox.flush('c');
    outbox.flush('c');
    await promisesSettled();
    outbox.flush('c');
    await promisesSettled();
    expect(attempts.map(wordsOf)).toEqual(['one', 'two']);
  });

  test('keeps a message while the channel is down and sends it again with the same id', async () => {
    const { outbox, attempts, channel, clock } = startOutbox();
    channel.isUp = false;
    outbox.add('c', text('hello'));
    outbox.flush('c');
    await promisesSettled();
    clock.advance(defaultLimits.deliveryDelaysMs[0] ?? 0);
    await promisesSettled();
    channel.isUp = true;
    clock.advance(60_000);
    await promisesSettled();
    expect(attempts.map(wordsOf)).toEqual(['hello', 'hello', 'hello']);
    expect(new Set(attempts.map(({ id }) => id)).size).toBe(1);
  });

  test('has no cap on attempts, but waits longer and longer between them', async () => {
    const { outbox, attempts, channel, clock } = startOutbox();
    channel.isUp = false;
    outbox.add('c', text('hello'));
    outbox.flush('c');
    await promisesSettled();
    for (let hour = 0; hour < 24; hour += 1) {
      for (let minute = 0; minute < 60; minute += 1) {
        clock.advance(60_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    expect(attempts.length).toBeGreaterThan(1000);
    expect(attempts.length).toBeLessThan(1500);
  });

  test('sends at once when the channel says that it is back', async () => {
    const { outbox, attempts, channel } = startOutbox();
    channel.isUp = false;
    outbox.add('c', text('hello'));
    outbox.flush('c');
    await promisesSettled();
    channel.isUp = true;
    outbox.flush('c');
    await promisesSettled();
    expect(attempts).toHaveLength(2);
  });

  test('delivers to other chats while one cannot be reached', async () => {
    const { outbox, attempts, channel } = startOutbox();
    channel.isUp = false;
    outbox.add('a', text('to a'));
    outbox.flush('a');
    await promisesSettled();
    channel.isUp = true;
    outbox.add('b', text('to b'));
    outbox.flush('b');
    await promisesSettled();
    expect(attempts.map(wordsOf)).toEqual(['to a', 'to b']);
  });

  test('does not retry a refused message, reports it, and goes on', async () => {
    const { outbox, attempts, channel, refusals } = startOutbox();
    channel.refusal = 'error 463';
    outbox.add('c', text('one'));
    outbox.flush('c');
    await promisesSettled();
    channel.refusal = '';
    outbox.add('c', text('two'));
    outbox.flush('c');
    await promisesSettled();
    expect(attempts.map(wordsOf)).toEqual(['one', 'two']);
    expect(refusals).toEqual(['error 463']);
  });

  test('splits long text within the limit of the channel, in order', async () => {
    const { outbox, attempts } = startOutbox();
    outbox.add('c', text('a first paragraph\n\na second paragraph'));
    outbox.flush('c');
    await promisesSettled();
    expect(attempts.map(wordsOf)).toEqual(['a first paragraph', 'a second paragraph']);
  });

  test('goes on after a restart with what was not acknowledged', async () => {
    const { outbox, make, attempts, channel } = startOutbox();
    channel.isUp = false;
    outbox.add('c', text('hello'));
    outbox.flush('c');
    await promisesSettled();
    outbox.close();
    channel.isUp = true;
    make().flushAll();
    await promisesSettled();
    expect(attempts.map(({ id }) => id)[0]).toBe(attempts[1]?.id);
    expect(attempts).toHaveLength(2);
  });
});

describe('the lanes of a chat', () => {
  const pace = { chat: { burst: 2, everyMs: 250 }, all: { burst: 3, everyMs: 100 } };

  test('let what the host says overtake all that its agents have queued', async () => {
    const { outbox, said, clock } = startOutbox({ pace });
    for (const words of ['1', '2', '3', '4']) outbox.add('c', text(words), agent);
    await promisesSettled();
    expect(said()).toEqual(['1', '2']);
    outbox.add('c', text('Stopped.'));
    await promisesSettled();
    expect(said()).toEqual(['1', '2', 'Stopped.']);
    for (const _ of ['3', '4']) {
      clock.advance(1000);
      await promisesSettled();
    }
    expect(said()).toEqual(['1', '2', 'Stopped.', '3', '4']);
  });

  test('keep their order each', async () => {
    const { outbox, said, channel } = startOutbox();
    channel.isUp = false;
    for (const words of ['a1', 'a2']) outbox.add('c', text(words), agent);
    for (const words of ['h1', 'h2']) outbox.add('c', text(words));
    await promisesSettled();
    channel.isUp = true;
    outbox.flush('c');
    await promisesSettled();
    const delivered = said().slice(2);
    expect(delivered.filter((words) => words.startsWith('a'))).toEqual(['a1', 'a2']);
    expect(delivered.filter((words) => words.startsWith('h'))).toEqual(['h1', 'h2']);
  });

  test('let several chats answer at once, and pace each and all of them', async () => {
    const { outbox, said, clock } = startOutbox({ pace });
    for (const words of ['1', '2', '3', '4', '5']) outbox.add('flood', text(words), agent);
    outbox.add('quiet', text('hello'), agent);
    await promisesSettled();
    expect(said().toSorted()).toEqual(['1', '2', 'hello']);
    clock.advance(250);
    await promisesSettled();
    expect(said()).toContain('3');
    expect(said()).not.toContain('4');
  });
});

describe('a file that is long on its way', () => {
  test('holds back the texts behind it for a while only, and the next file until it is there', async () => {
    const { outbox, said, clock, endUploads } = startOutbox();
    outbox.add('c', film('film'), agent);
    outbox.add('c', film('second'), agent);
    outbox.add('c', text('and a word'), agent);
    await promisesSettled();
    expect(said()).toEqual(['film']);
    clock.advance(defaultLimits.uploadHoldMs);
    await promisesSettled();
    expect(said()).toEqual(['film', 'and a word']);
    endUploads();
    await promisesSettled();
    expect(said()).toEqual(['film', 'and a word', 'second']);
  });

  test('does not hold back the host', async () => {
    const { outbox, said } = startOutbox();
    outbox.add('c', film('film'), agent);
    await promisesSettled();
    outbox.add('c', text('Stopped.'));
    await promisesSettled();
    expect(said()).toEqual(['film', 'Stopped.']);
  });

  test('is tried again if it fails, also after texts have overtaken it', async () => {
    const { outbox, said, clock, channel, endUploads, states } = startOutbox({});
    channel.isUp = false;
    outbox.add('c', film('film'), agent);
    await promisesSettled();
    channel.isUp = true;
    outbox.flush('c');
    await promisesSettled();
    clock.advance(defaultLimits.uploadHoldMs);
    endUploads();
    await promisesSettled();
    expect(said()).toEqual(['film', 'film']);
    expect(states()).toEqual(['acknowledged']);
  });
});

describe('what is withdrawn', () => {
  test('is not delivered: neither what waits, nor a file that is being uploaded', async () => {
    const pace = { chat: { burst: 2, everyMs: 250 }, all: { burst: 9, everyMs: 1 } };
    const { outbox, store, said, clock, states, endUploads } = startOutbox({ pace });
    const mine = { ...agent, turnId: saveTurn(store, 'helper', 1) };
    const others = { ...agent, turnId: saveTurn(store, 'other', 1) };
    outbox.add('c', film('film'), mine);
    for (const words of ['1', '2', '3']) outbox.add('c', text(words), mine);
    outbox.add('c', text('of another'), others);
    await promisesSettled();
    clock.advance(defaultLimits.uploadHoldMs);
    await promisesSettled();
    expect(said()).toEqual(['film', '1', '2']);
    expect(outbox.withdraw('helper')).toBe(2);
    endUploads();
    await promisesSettled();
    // The one that waited for its place, and the next.
    for (const _ of ['3', 'of another']) {
      clock.advance(250);
      await promisesSettled();
    }
    expect(said()).toEqual(['film', '1', '2', 'of another']);
    expect(states()).toEqual([
      'withdrawn',
      'acknowledged',
      'acknowledged',
      'withdrawn',
      'acknowledged',
    ]);
  });

  test('ends a message of several pieces between two of them', async () => {
    const pace = { chat: { burst: 1, everyMs: 250 }, all: { burst: 9, everyMs: 1 } };
    const layOut = async (words: string) => words.split(' ');
    const { outbox, store, said, clock } = startOutbox({ pace, layOut });
    outbox.add('c', text('one two three'), { ...agent, turnId: saveTurn(store, 'helper', 1) });
    await promisesSettled();
    expect(outbox.withdraw('helper')).toBe(1);
    clock.advance(1000);
    await promisesSettled();
    expect(said()).toEqual(['one']);
  });

  test('and already on its way is delivered and not counted', async () => {
    const answered = deferred<Delivery>();
    const { outbox, store, states } = startOutbox({ deliver: () => answered.promise });
    outbox.add('c', text('1'), { ...agent, turnId: saveTurn(store, 'helper', 1) });
    await promisesSettled();
    expect(outbox.withdraw('helper')).toBe(0);
    answered.resolve({ kind: 'acknowledged' });
    await promisesSettled();
    expect(states()).toEqual(['acknowledged']);
  });
});

describe('the pieces of a text', () => {
  test('are made once, and go on after a restart where they stopped', async () => {
    const laidOut: string[] = [];
    const layOut = async (words: string) => {
      laidOut.push(words);
      return words.split(' ');
    };
    const { outbox, make, said, attempts, channel, store } = startOutbox({
      layOut,
      sentAs: (id) => `as-${id}`,
      deliver: async (message) => {
        attempts.push(message);
        if (attempts.length === 2) throw new Error('down');
        return { kind: 'acknowledged' };
      },
    });
    outbox.add('c', text('one two three'), agent);
    await promisesSettled();
    outbox.close();
    expect(channel.isUp).toBe(true);
    make().flushAll();
    await promisesSettled();
    expect(said()).toEqual(['one', 'two', 'two', 'three']);
    expect(attempts[1]?.id).toBe(attempts[2]?.id);
    expect(laidOut).toHaveLength(1);
    expect(findSaid(store, 'c', `as-${attempts[3]?.id}`)).toMatchObject({ text: 'three' });
    expect(findSaid(store, 'other', `as-${attempts[3]?.id}`)).toBeUndefined();
  });

  test('are not made of what the host says, which is plain', async () => {
    const { outbox, said } = startOutbox({ layOut: async () => ['formatted'] });
    outbox.add('c', text('the *plain* words'));
    await promisesSettled();
    expect(said()).toEqual(['the *plain* words']);
  });

  test('beyond a few become the beginning, and a file with all of it', async () => {
    const { outbox, attempts } = startOutbox();
    const whole = 'word '.repeat(30).trim();
    outbox.add('c', text(whole), agent);
    await promisesSettled();
    expect(attempts.map(({ kind }) => kind)).toEqual(['text', 'file']);
    const [beginning, file] = attempts;
    expect(whole.startsWith(beginning ? wordsOf(beginning) : 'no')).toBe(true);
    expect(file?.kind === 'file' && readFileSync(file.file.hostPath, 'utf8')).toBe(whole);
    expect(file).toMatchObject({ file: { mime: 'text/plain', sizeBytes: whole.length } });
  });
});
