/** The thread that formats texts: real, from dist/, with a clock that the test moves. */
import { dirname } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { HeldClock } from '../../../test/support/held-clock.ts';
import { loadConfig } from '../../config.ts';
import { Formatter } from './formatter.ts';

const projectDir = dirname(dirname(dirname(import.meta.dirname)));
const hostile = '- a\n'.repeat(50_000);

function startFormatter() {
  const clock = new HeldClock();
  const config = loadConfig({}, projectDir);
  const formatter = new Formatter({ config, clock, log: pino({ level: 'silent' }) }, 4000);
  onTestFinished(() => formatter.close());
  /** Resolves when the deadline of a text has begun. */
  const begun = () => expect.poll(() => clock.waits()).toEqual([1000]);
  return { clock, formatter, begun };
}

test('a text is formatted, and cut into messages', async () => {
  const { formatter } = startFormatter();
  expect(await formatter.layOut('**a**')).toEqual(['*a*']);
  expect(await formatter.layOut('**a** '.repeat(2000))).toHaveLength(2);
});

test('a text that takes too long is cut as it is, and the next one is formatted', async () => {
  const { clock, formatter, begun } = startFormatter();
  const pieces = formatter.layOut(`**a**\n${hostile}`);
  const next = formatter.layOut(`**b**\n${hostile}`);
  await begun();
  clock.advance(1000);
  expect((await pieces)[0]).toMatch(/^\*\*a\*\*\n- a\n/);
  expect((await next)[0]).toMatch(/^\*b\*\n\n- a\n/);
});

test('so is one that is nested too deeply', async () => {
  const { formatter } = startFormatter();
  const deep = `${'> '.repeat(100)}**a**`;
  expect(await formatter.layOut(deep)).toEqual([deep]);
  expect(await formatter.layOut('**b**')).toEqual(['*b*']);
});

test('a short text waits for the one in progress alone', async () => {
  const { formatter, begun } = startFormatter();
  const order: string[] = [];
  const format = (name: string, text: string) =>
    formatter.layOut(text).then(() => order.push(name));
  const all = [format('first', hostile)];
  await begun();
  all.push(format('second', hostile), format('status', 'Here: working'));
  await Promise.all(all);
  expect(order).toEqual(['first', 'status', 'second']);
});

test('and no text holds up the event loop', async () => {
  const { formatter } = startFormatter();
  let turns = 0;
  const count = () => {
    turns += 1;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  onTestFinished(() => clearImmediate(next));
  await formatter.layOut(`${'>'.repeat(1000)}${'=\n'.repeat(1500)}`);
  const before = turns;
  await formatter.layOut(hostile);
  expect(turns - before).toBeGreaterThan(100);
});
