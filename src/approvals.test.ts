/** What an agent asks for is shown, answered by the owner alone, applied once, and told. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { openFeatureHost } from '../test/support/feature-host.ts';
import type { Command } from './commands.ts';
import { listApprovals } from './db/approvals.ts';
import { findGroup, saveGroup } from './db/groups.ts';
import { hasPieces, listPending, savePieces, wordsOf } from './db/outbox.ts';
import { mainGroup } from './groups.ts';
import { settle } from './outcome.ts';
import { quoted } from './text.ts';
import { type InboundMessage, UserError } from './types.ts';

const hourMs = 60 * 60_000;
const chatId = mainGroup.chatId;

/** The owner, two groups, and a command that agents may ask for: it renames a group. */
function openApprovals() {
  const opened = openFeatureHost();
  const { store, commands, clock, host } = opened;
  const { approvals } = host;
  const main = saveGroup(store, mainGroup);
  saveGroup(store, { ...mainGroup, isMain: false, folder: 'family', chatId: 'terminal:family' });
  const args = z.strictObject({ folder: z.string(), name: z.string() });
  const rename: Command<z.infer<typeof args>> = {
    name: '/rename',
    help: '',
    who: 'main',
    parse: ([folder = '', name = '']) => ({ folder, name }),
    approvable: args,
    describe: ({ folder, name }) => {
      const now = findGroup(store, folder)?.name;
      if (now === undefined) throw new UserError(`there is no group ${folder}`);
      return `rename ${quoted(folder)} from ${quoted(now)} to ${quoted(name)}`;
    },
    apply: ({ folder, name }) => ({
      commit: () => {
        const group = findGroup(store, folder);
        if (!group || name === 'taken') throw new UserError('that name is taken');
        saveGroup(store, { ...group, name });
        return `Renamed: ${group.name} is ${name}.`;
      },
    }),
  };
  commands.push(rename);
  const ask = (name = 'Fam', { agentId = 'main', folder = 'family' } = {}) =>
    settle(store, () => ({ commit: () => approvals.ask(agentId, rename, { folder, name }) })).text;
  const pending = () => listPending(store, chatId, 500);
  /** Gives each message the id that a channel would give it. */
  const deliver = () =>
    pending().map((message) => {
      const { id } = message;
      const text = wordsOf(message);
      if (!hasPieces(store, id)) savePieces(store, id, [{ id, sentAs: id, text, file: null }]);
      return text;
    });
  /** What was shown to the owner by now. */
  const shown = () => {
    clock.advance(3000);
    return deliver();
  };
  const last = () => pending().at(-1)?.id ?? '';
  /** The answer, or undefined when the message is for the assistant. */
  const hears = (message: Partial<InboundMessage>, group = main) => {
    const carryOut = approvals.findAnswer({ chatId, text: '', isOwner: true, ...message });
    return carryOut && settle(store, () => carryOut(group)).text;
  };
  const quote = (messageId: string) => ({
    messageId,
    isOfAssistant: true,
    senderName: 'Andy',
    text: 'anything',
  });
  return {
    ...opened,
    approvals,
    ask,
    deliver,
    shown,
    last,
    hears,
    replies: (text: string, messageId = last()) => hears({ text, quote: quote(messageId) }),
    reacts: (emoji: string, messageId = last()) =>
      hears({ text: `[reacted ${emoji}]`, reaction: { messageId, emoji } }),
    answers: (id: number, isYes: boolean) => store.transaction(() => approvals.answer(id, isYes)),
    nameOf: () => findGroup(store, 'family')?.name,
    posts: (inbox = chatId) =>
      store
        .all<{ text: string }>(
          `SELECT text FROM messages WHERE chat_id = :inbox AND sender_kind = 'host' ORDER BY seq`,
          { inbox },
        )
        .map(({ text }) => text),
  };
}

describe('a request', () => {
  test('changes nothing, is shown in full to the owner, and the agent hears so', () => {
    const { ask, shown, nameOf } = openApprovals();
    expect(ask()).toMatch(/has been asked \(request 1\) to rename .*Nothing is changed yet/);
    expect(nameOf()).toBe('main');
    expect(shown()).toEqual([
      'Request 1: the agent "main" asks you to rename "family" from "main" to "Fam".\nReply ok or no to this message, or react with 👍 or 👎. On a terminal: /approve 1 or /reject 1',
    ]);
  });

  test('shows what is invisible, and cannot be formatted away', () => {
    const { ask, shown } = openApprovals();
    ask('a\u202eb\u200b *c* "d" `e` \n\u3164');
    expect(shown()[0]).toContain(
      'to `"a\\u{202e}b\\u{200b} *c* \\u{22}d\\u{22} \\u{60}e\\u{60} \\u{a}\\u{3164}"`.\n',
    );
  });

  test('that would have to be cut is refused', () => {
    const { ask, shown } = openApprovals();
    expect(ask('x'.repeat(600))).toMatch(/too long for your owner to see all of it/);
    expect(shown()).toEqual([]);
  });

  test('is one, however often it is made, also after a no', () => {
    const { ask, shown, answers, clock } = openApprovals();
    ask();
    expect(ask()).toMatch(/already: request 1 is pending/);
    expect(shown()).toHaveLength(1);
    answers(1, false);
    expect(ask()).toMatch(/already: request 1 is rejected/);
    clock.advance(24 * hourMs);
    expect(ask()).toMatch(/request 2/);
  });

  test('may be made again after a yes', () => {
    const { ask, answers } = openApprovals();
    ask();
    answers(1, true);
    expect(ask()).toMatch(/request 2/);
  });

  test('of a hundred is one notice, a few wait, and the agent hears of the others', () => {
    const { ask, shown, store, approvals, answers } = openApprovals();
    const told = Array.from({ length: 100 }, (_, number) => ask(`name ${number}`));
    expect(shown()).toHaveLength(1);
    expect(shown()[0]?.split('\n')).toHaveLength(6);
    expect(told.filter((text) => text.includes('Ask for no more before that'))).toHaveLength(95);
    expect(listApprovals(store)).toHaveLength(5);
    expect(approvals.list()[4]).toMatch(/^Request 5: the agent "main" asks you to rename/);
    ask('of another', { agentId: 'family' });
    expect(shown()).toHaveLength(2);
    answers(3, false);
    expect(ask('one more')).toMatch(/request \d+/);
  });
});

describe('the owner’s answer', () => {
  test.each(['ok', 'OK', ' Okay. ', 'yes!', '👍', '✅', '👍🏽'])('yes is a reply: %s', (text) => {
    const { ask, shown, replies, nameOf, posts, woken } = openApprovals();
    ask();
    shown();
    expect(replies(text)).toBe('Renamed: main is Fam.');
    expect(nameOf()).toBe('Fam');
    expect(posts()).toEqual([
      'Your request 1 (rename "family" from "main" to "Fam") is approved. Renamed: main is Fam.',
    ]);
    expect(woken).toEqual(['main']);
  });

  test.each(['no', 'No.', '👎', '❌', '👎🏿'])('no is a reply: %s', (text) => {
    const { ask, shown, replies, nameOf, posts } = openApprovals();
    ask();
    shown();
    expect(replies(text)).toMatch(/^Rejected: rename/);
    expect(nameOf()).toBe('main');
    expect(posts()[0]).toMatch(/is rejected\./);
  });

  test.each([
    ['👍', 'Fam'],
    ['👍🏾', 'Fam'],
    ['✅\uFE0F', 'Fam'],
    ['👎', 'main'],
    ['❌', 'main'],
  ])('is a reaction: %s', (emoji, name) => {
    const { ask, shown, reacts, nameOf } = openApprovals();
    ask();
    shown();
    expect(reacts(emoji)).toBeDefined();
    expect(nameOf()).toBe(name);
  });

  test('is nothing else, and nobody else’s', () => {
    const { ask, shown, replies, reacts, hears, last, nameOf } = openApprovals();
    ask();
    shown();
    const messageId = last();
    const quote = { messageId, isOfAssistant: true, senderName: 'Andy', text: shown()[0] ?? '' };
    const reaction = { messageId, emoji: '👍' };
    for (const text of ['ok, but not now', 'okok', 'not ok', 'constructor', '', 'sure'])
      expect([text, replies(text)]).toEqual([text, undefined]);
    expect(reacts('❤️')).toBeUndefined();
    expect(reacts('👍', 'another message')).toBeUndefined();
    expect(hears({ text: 'ok' })).toBeUndefined();
    expect(hears({ text: 'ok', quote: { ...quote, messageId: 'another' } })).toBeUndefined();
    expect(hears({ text: 'ok', quote, isOwner: false })).toBeUndefined();
    expect(hears({ reaction, isOwner: false })).toBeUndefined();
    expect(hears({ text: 'ok', quote, chatId: 'terminal:family' })).toBeUndefined();
    expect(nameOf()).toBe('main');
  });

  test('counts once, in whatever ways it comes', () => {
    const { ask, shown, replies, reacts, answers, posts, nameOf } = openApprovals();
    ask();
    shown();
    replies('ok');
    expect(reacts('👍')).toBe('Request 1 is approved already.');
    expect(replies('no')).toBe('Request 1 is approved already.');
    expect(answers(1, true)).toBe('Request 1 is approved already.');
    expect(nameOf()).toBe('Fam');
    expect(posts()).toHaveLength(1);
    expect(answers(7, true)).toBe('There is no request 7. To see all: /pending');
  });

  test('to a list of requests can be no, but yes only to each', () => {
    const { ask, shown, replies, answers, last, nameOf } = openApprovals();
    ask('one');
    ask('two');
    shown();
    const list = last();
    expect(replies('ok', list)).toBe('That message asks for 2 things. Approve each: /approve 1 2');
    answers(2, true);
    expect(nameOf()).toBe('two');
    expect(replies('no', list)).toMatch(/^Rejected: rename/);
    expect(nameOf()).toBe('two');
  });

  test('is checked again: what has changed since is not done, and both are told why', () => {
    const { ask, answers, store, nameOf, posts } = openApprovals();
    ask();
    ask('taken');
    expect(answers(2, true)).toBe('Request 2 could not be carried out: that name is taken');
    const group = findGroup(store, 'family');
    if (group) saveGroup(store, { ...group, name: 'Others' });
    expect(answers(1, true)).toBe(
      'Request 1 could not be carried out: things have changed. It would now mean to rename "family" from "Others" to "Fam"',
    );
    expect(nameOf()).toBe('Others');
    expect(posts().at(-1)).toMatch(/is refused\. Request 1 could not be carried out/);
    ask('gone');
    store.run(`DELETE FROM groups WHERE folder = 'family'`);
    expect(answers(3, true)).toMatch(/could not be carried out: there is no group family/);
  });

  test('comes too late after a day; the agent reads so, and is not woken for it', () => {
    const { ask, shown, replies, clock, approvals, nameOf, woken, last, posts } = openApprovals();
    ask();
    shown();
    const messageId = last();
    approvals.start();
    clock.advance(24 * hourMs);
    expect(replies('ok', messageId)).toBe('Request 1 is expired already.');
    expect(approvals.list()).toEqual([]);
    expect(nameOf()).toBe('main');
    expect(posts()).toEqual([expect.stringMatching(/is expired\. Your owner has not answered/)]);
    expect(woken).toEqual([]);
    approvals.stop();
  });
});

test('what cannot be shown now is shown a minute later', () => {
  const { ask, approvals, shown, store, clock } = openApprovals();
  approvals.start();
  ask();
  store.run('ALTER TABLE approvals RENAME TO away');
  clock.advance(20_000);
  store.run('ALTER TABLE away RENAME TO approvals');
  clock.advance(60_000);
  expect(shown()).toHaveLength(1);
  approvals.stop();
});

describe('after a restart', () => {
  test('what was not shown yet is shown, and what was shown can be answered', () => {
    const { ask, approvals, last, replies, nameOf, clock, deliver } = openApprovals();
    ask();
    approvals.stop();
    clock.advance(5000);
    expect(last()).toBe('');
    approvals.start();
    deliver();
    expect(replies('ok')).toBe('Renamed: main is Fam.');
    expect(nameOf()).toBe('Fam');
    approvals.stop();
  });
});
