/** How a command is told from words for the assistant, and how many words it takes. */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { createCommands } from './commands.ts';
import { saveGroup } from './db/groups.ts';
import { features } from './features.ts';
import { mainGroup } from './groups.ts';
import { settle } from './outcome.ts';

/** The answer in the main chat; undefined when it goes to the assistant. */
function says(text: string, isOwner = true) {
  const { host, config, store } = openFeatureHost();
  const commands = features.flatMap((feature) => feature.create(host).commands ?? []);
  const find = createCommands({ config, log: pino({ level: 'silent' }) }, commands);
  const group = saveGroup(store, mainGroup);
  const carryOut = find({ chatId: group.chatId, text, isOwner });
  return carryOut && settle(store, () => carryOut(group)).text;
}

describe('a command', () => {
  test.each([
    '/help me',
    '/stop now',
    '/new please',
    '/status of the project',
    '/web main open now',
    '/allow www.example.org main extra',
    '/deny www.example.org main extra',
    '/unmount main recipes extra',
    '@Andy /new @Andy',
    '/stop\nplease',
  ])('with more words than it takes does nothing and says so: %s', (text) => {
    const [name] = /\/\w+/.exec(text) ?? [];
    expect(says(text)).toMatch(`Nothing was done. Write just: ${name}`);
  });

  test.each(['/web', '/allow www.example.org', '/mount', '/unmount main recipes'])(
    'of the owner is for nobody else in the main chat: %s',
    (text) =>
      expect(says(text, false)).toMatch(/^\/\w+ is for the owner of this assistant only\.$/),
  );

  test('tells how it is written', () => {
    expect(says('/web main open now')).toMatch(/ \/web \[GROUP \[open\|listed\|none\]\]$/);
  });

  test.each(['/stop', ' /STOP ', '/stop!!!', '/stop.', '@Andy /stop', '@andy, /stop'])(
    'is understood as %j',
    (text) => expect(says(text)).toBe('There is nothing to stop.'),
  );

  test('that takes a path takes one of several words', () => {
    expect(says('/mount main ~/My Documents rw')).toMatch(/must say what may be lent/);
  });
});

test.each(['/newsletter ideas', 'please /stop', '/', '/stopp', '', '@Bob /stop', '//stop'])(
  '%j is for the assistant',
  (text) => expect(says(text)).toBeUndefined(),
);
