import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { HeldClock, promisesSettled } from '../test/support/held-clock.ts';
import { openTemporaryStore } from '../test/support/store.ts';
import { defaultLimits } from './config.ts';
import { wordsOf } from './db/outbox.ts';
import { Outbox } from './outbox.ts';
import type { Channel, Delivery, OutboundMessage } from './types.ts';

const text = (words: string) => ({ kind: 'text' as const, text: words, about: null });

/** An outbox over a channel that the test opens, closes and lets refuse. */
function startOutbox() {
  const store = openTemporaryStore();
  const clock = new HeldClock();
  const attempts: OutboundMessage[] = [];
  const refusals: string[] = [];
  const channel = { isUp: true, refusal: '' };
  const fake: Pick<Channel, 'textMax' | 'deliver'> = {
    textMax: 20,
    deliver: async (message): Promise<Delivery> => {
      attempts.push(message);
      if (!channel.isUp) throw new Error('down');
      if (channel.refusal) return { kind: 'refused', reason: channel.refusal };
      return { kind: 'acknowledged' };
    },
  };
  const make = () =>
    new Outbox({
      store,
      log: pino({ level: 'silent' }),
      clock,
      limits: defaultLimits,
      channelOf: () => fake as Channel,
      leaving: () => {},
      delivered: () => {},
      refused: (_, reason) => void refusals.push(reason),
    });
  return { outbox: make(), make, store, clock, attempts, refusals, channel };
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
