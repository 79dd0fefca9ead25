import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { promisesSettled } from '../test/support/held-clock.ts';
import { listChats, saveGroup } from './db/groups.ts';
import { assignPrompt, claimMessages, findMessage, hasUnclaimed } from './db/messages.ts';
import { listPending, wordsOf } from './db/outbox.ts';
import { deferred } from './deferred.ts';
import { mainGroup } from './groups.ts';
import { Router } from './router.ts';
import type { Amendment, InboundMessage, IncomingAttachment } from './types.ts';

const chatId = 'whatsapp:family@g.us';
const alice = 'whatsapp:4911@s.whatsapp.net';
const bob = 'whatsapp:4922@s.whatsapp.net';
const hourMs = 3_600_000;

function openRouter(triggeredBy: string[] | null = null) {
  const { host, store, clock, config, outbox, owner, woken } = openFeatureHost();
  saveGroup(store, mainGroup);
  const stop = () => {
    store.afterCommit(() => router.stopReceiving(chatId));
    return 'Stopped.';
  };
  const router: Router = new Router({
    ...host,
    outbox,
    owner,
    findCommand: ({ text }) => (text === '/stop' ? () => ({ commit: stop }) : undefined),
    wake: (agentId) => woken.push(agentId),
  });
  const told = () => listPending(store, mainGroup.chatId, 100).map(wordsOf);
  const group = { folder: 'family', chatId, name: 'Family', isMain: false, requiresTrigger: true };
  saveGroup(store, { ...group, triggeredBy });
  prepareFolder(config.groupsDir);
  let count = 0;
  const say = (text: string, more: Partial<InboundMessage> = {}) => {
    count += 1;
    const message = { chatId, id: `m${count}`, senderId: alice, senderName: 'Alice', text };
    const sentAtMs = clock.now();
    return router.receive([{ ...message, sentAtMs, attachments: [], ...more }]);
  };
  const change = (messageId: string, text: string | null, more: Partial<Amendment> = {}) => {
    count += 1;
    const by = { chatId, id: `e${count}`, messageId, senderId: alice, sentAtMs: clock.now() };
    return router.amend({ ...by, text, ...more });
  };
  const prompt = () => {
    claimMessages(store, chatId, 1, 100);
    return assignPrompt(store, 1, crypto.randomUUID(), 10_000).map(({ text }) => text);
  };
  return { host, router, store, clock, config, woken, told, say, change, prompt };
}

function prepareFolder(groupsDir: string): void {
  mkdirSync(join(groupsDir, 'family'), { recursive: true });
}

describe('who wakes the agent', () => {
  test('is everybody who calls it, by name or by a reply to it', async () => {
    const { say, woken } = openRouter();
    await say('good morning');
    expect(woken).toEqual([]);
    await say('@Andy hello');
    await say('and this?', { isAddressed: true });
    expect(woken).toEqual(['family', 'family']);
  });

  test('is only who is on the list, where there is one, for commands as well', async () => {
    const { say, woken, store } = openRouter([bob]);
    await say('@Andy hello');
    await say('/stop');
    expect(woken).toEqual([]);
    expect(listPending(store, chatId, 1)[0]).toBeUndefined();
    await say('/stop', { senderId: bob });
    expect(listPending(store, chatId, 1)[0]).toMatchObject({ text: 'Stopped.' });
    await say('@Andy hello', { senderId: bob });
    expect(woken).toEqual(['family']);
  });

  test('is nobody by a message that is only context, and nobody half a day late', async () => {
    const { say, woken, told, clock } = openRouter();
    await say('@Andy [reacted]', { isContext: true });
    await say('@Andy good night', { sentAtMs: clock.now() - 13 * hourMs });
    await say('/stop', { sentAtMs: clock.now() - 13 * hourMs });
    expect(woken).toEqual([]);
    expect(told()).toHaveLength(1);
    expect(told()[0]).toMatch(/1 messages in "Family" came more than 12 hours late/);
  });
});

test('nothing shuts the people of the main chat out', async () => {
  const { store, say, woken } = openRouter([bob]);
  saveGroup(store, { ...mainGroup, isMain: false, chatId: null });
  const group = { ...mainGroup, folder: 'family', chatId, name: 'Family', triggeredBy: [bob] };
  saveGroup(store, group);
  await say('hello');
  expect(woken).toEqual(['family']);
});

describe('an edit', () => {
  test('changes what no prompt holds yet, and may call the agent', async () => {
    const { say, change, prompt, woken } = openRouter();
    await say('lunch at 12?');
    await change('m1', '@Andy lunch at 1?');
    expect(woken).toEqual(['family']);
    expect(prompt()).toEqual(['@Andy lunch at 1?']);
  });

  test('of what was prompted is told, with what it was, and wakes again', async () => {
    const { say, change, prompt, woken, store } = openRouter();
    await say('@Andy 2+2?');
    prompt();
    await change('m1', '@Andy 2+3?');
    expect(woken).toEqual(['family', 'family']);
    expect(prompt()).toEqual(['[edited] @Andy 2+3?']);
    expect(findMessage(store, chatId, 'e2')?.quote?.text).toBe('@Andy 2+2?');
  });

  test('by anybody but the sender changes nothing', async () => {
    const { say, change, prompt } = openRouter();
    await say('@Andy pay Bob');
    await change('m1', '@Andy pay Eve', { senderId: bob });
    await change('m1', null, { senderId: bob });
    expect(prompt()).toEqual(['@Andy pay Bob']);
  });
});

describe('a deletion', () => {
  test('takes the message out of the store and the prompt, with its file', async () => {
    const { say, change, prompt, store, config } = openRouter();
    const open = async () => Readable.from([Buffer.from('secret')]);
    const file = { kind: 'document' as const, name: 'a.txt', mime: 'text/plain', open };
    await say('@Andy my password is 1234', { attachments: [file] });
    const path = findMessage(store, chatId, 'm1')?.attachments[0]?.groupPath ?? '';
    expect(existsSync(join(config.groupsDir, 'family', path))).toBe(true);
    await change('m1', null);
    expect(existsSync(join(config.groupsDir, 'family', path))).toBe(false);
    expect(JSON.stringify(store.all('SELECT * FROM messages'))).not.toMatch(/1234|a\.txt/);
    expect(hasUnclaimed(store, chatId)).toBe(false);
    expect(prompt()).toEqual([]);
  });

  test('keeps the identity, so that the message does not come back', async () => {
    const { say, change, prompt } = openRouter();
    await say('@Andy hello', { id: 'x' });
    await change('x', null);
    await say('@Andy hello', { id: 'x' });
    expect(prompt()).toEqual([]);
  });

  test('by somebody who may delete for all is done whoever wrote it', async () => {
    const { say, change, prompt } = openRouter();
    await say('@Andy hello');
    await change('m1', null, { senderId: null });
    expect(prompt()).toEqual([]);
  });
});

test('of chats without a group only name and time are known', async () => {
  const { store, say } = openRouter();
  await say('a secret', { chatId: 'whatsapp:work@g.us' });
  expect(listChats(store, 1)).toMatchObject([{ id: 'whatsapp:work@g.us', name: null }]);
  expect(store.all('SELECT * FROM messages')).toEqual([]);
});

describe('while a file is on its way', () => {
  /** A photo whose download the test ends, and the router with a chat beside the family's. */
  function openSlow() {
    const opened = openRouter();
    const { store, clock, router, config } = opened;
    const other = { ...mainGroup, isMain: false, folder: 'work', chatId: 'whatsapp:work@g.us' };
    saveGroup(store, { ...other, name: 'Work' });
    mkdirSync(join(config.groupsDir, 'work'), { recursive: true });
    const arrived = deferred<void>();
    const open = async () => {
      await arrived.promise;
      return Readable.from([Buffer.from('a picture')]);
    };
    const photo: IncomingAttachment = { kind: 'image', name: 'a.jpg', mime: 'image/jpeg', open };
    const from = (text: string, more: Partial<InboundMessage> = {}): InboundMessage => ({
      chatId,
      id: text,
      senderId: alice,
      senderName: 'Alice',
      text,
      sentAtMs: clock.now(),
      attachments: [],
      ...more,
    });
    const withPhoto = from('@Andy photo', { attachments: [photo] });
    const texts = () =>
      store.all<{ text: string }>('SELECT text FROM messages ORDER BY seq').map(({ text }) => text);
    const answers = () => listPending(store, chatId, 100).map(wordsOf);
    const stop = () => router.stopReceiving(chatId);
    return { ...opened, arrived, photo, from, withPhoto, texts, answers, stop, other };
  }

  test('a command behind it in the same call is answered first', async () => {
    const { router, arrived, from, withPhoto, texts, answers, woken } = openSlow();
    const received = router.receive([withPhoto, from('/stop'), from('later')]);
    expect(answers()).toEqual(['Stopped.']);
    expect(texts()).toEqual(['/stop']);
    arrived.resolve();
    await received;
    expect(texts()).toEqual(['/stop', '@Andy photo', 'later']);
    expect(answers()).toEqual(['Stopped.']);
    expect(woken).toEqual([]);
  });

  test('a command of a later call is answered first', async () => {
    const { router, arrived, from, withPhoto, texts, answers } = openSlow();
    const received = router.receive([withPhoto]);
    await promisesSettled();
    const stopped = router.receive([from('/stop')]);
    expect(answers()).toEqual(['Stopped.']);
    arrived.resolve();
    await Promise.all([received, stopped]);
    expect(texts()).toEqual(['/stop', '@Andy photo']);
  });

  test('a command that is its caption is answered at once, and needs no file', async () => {
    const { router, from, photo, texts, answers } = openSlow();
    await router.receive([from('/stop', { attachments: [photo] })]);
    expect(texts()).toEqual(['/stop']);
    expect(answers()).toEqual(['Stopped.']);
  });

  test('what is stopped is stored and wakes nobody; what comes afterwards does', async () => {
    const { router, arrived, from, withPhoto, texts, woken, stop, store } = openSlow();
    const received = [router.receive([withPhoto]), router.receive([from('@Andy and this')])];
    await promisesSettled();
    expect(router.isReceiving(chatId)).toBe(true);
    stop();
    received.push(router.receive([from('@Andy afterwards')]));
    arrived.resolve();
    await Promise.all(received);
    expect(texts()).toEqual(['@Andy photo', '@Andy and this', '@Andy afterwards']);
    expect(findMessage(store, chatId, '@Andy photo')).toMatchObject({ role: 'context' });
    expect(findMessage(store, chatId, '@Andy and this')).toMatchObject({ role: 'context' });
    expect(woken).toEqual(['family']);
    expect(router.isReceiving(chatId)).toBe(false);
  });

  test('what is stopped is of this chat alone', async () => {
    const { router, arrived, from, withPhoto, woken, stop, other } = openSlow();
    const received = [
      router.receive([withPhoto]),
      router.receive([from('hello', { chatId: other.chatId })]),
    ];
    stop();
    arrived.resolve();
    await Promise.all(received);
    expect(woken).toEqual(['work']);
  });

  test('messages of two chats in one call are refused, and none is stored', async () => {
    const { router, from, texts, other } = openSlow();
    const mixed = [from('here'), from('there', { chatId: other.chatId })];
    await expect(router.receive(mixed)).rejects.toThrow('one chat');
    expect(texts()).toEqual([]);
  });

  test('an edit that is stopped with it wakes nobody', async () => {
    const { router, arrived, withPhoto, woken, change, stop, store } = openSlow();
    const received = [router.receive([withPhoto]), change('@Andy photo', '@Andy another')];
    await promisesSettled();
    stop();
    arrived.resolve();
    await Promise.all(received);
    expect(findMessage(store, chatId, '@Andy photo')).toMatchObject({ text: '@Andy another' });
    expect(woken).toEqual([]);
  });

  test('the messages of its chat keep their order, and other chats do not wait', async () => {
    const { router, arrived, from, withPhoto, texts, woken, other } = openSlow();
    const received = [router.receive([withPhoto]), router.receive([from('@Andy second')])];
    await router.receive([from('elsewhere', { chatId: other.chatId })]);
    await promisesSettled();
    expect(texts()).toEqual(['elsewhere']);
    expect(woken).toEqual(['work']);
    arrived.resolve();
    await Promise.all(received);
    expect(texts()).toEqual(['elsewhere', '@Andy photo', '@Andy second']);
  });

  test('an edit and a deletion of its message come after it', async () => {
    const { router, arrived, withPhoto, from, change, prompt, texts } = openSlow();
    const received = [
      router.receive([withPhoto, from('@Andy oops')]),
      change('@Andy photo', '@Andy look'),
      change('@Andy oops', null),
    ];
    await promisesSettled();
    expect(texts()).toEqual([]);
    arrived.resolve();
    await Promise.all(received);
    expect(texts()).toEqual(['@Andy look', '[deleted]']);
    expect(prompt()).toEqual(['@Andy look']);
  });
});

describe('a command', () => {
  test.each(['in one call', 'call by call'])('stops what was said before it, %s', async (how) => {
    const { router, woken, clock, store } = openRouter();
    const message = (text: string) => {
      const by = { chatId, id: text, senderId: alice, senderName: 'Alice' };
      return { ...by, text, sentAtMs: clock.now(), attachments: [] };
    };
    const messages = [message('@Andy tidy up'), message('/stop'), message('@Andy thanks')];
    const calls = how === 'in one call' ? [messages] : messages.map((each) => [each]);
    await Promise.all(calls.map((each) => router.receive(each)));
    expect(findMessage(store, chatId, '@Andy tidy up')).toMatchObject({ role: 'context' });
    expect(findMessage(store, chatId, '@Andy thanks')).toMatchObject({ role: 'wakes' });
    expect(woken).toEqual(['family']);
  });
});

describe('a store that fails', () => {
  /** Refuses rows with this text, as a full disk does. */
  const refuse = (text: string) => `CREATE TRIGGER full BEFORE INSERT ON messages
    WHEN NEW.text = '${text}' BEGIN SELECT RAISE(ABORT, 'disk full'); END`;

  test.each(['@Andy hello', '/stop'])(
    'rejects %s, which counts when it comes again',
    async (text) => {
      const { say, store, woken, told } = openRouter();
      store.run(refuse(text));
      await expect(say(text, { id: 'x' })).rejects.toThrow('disk full');
      expect(woken).toEqual([]);
      expect(listPending(store, chatId, 1)[0]).toBeUndefined();
      store.run('DROP TRIGGER full');
      await say(text, { id: 'x' });
      await say(text, { id: 'x' });
      expect(store.all('SELECT text FROM messages')).toEqual([{ text }]);
      expect(woken).toEqual(text === '/stop' ? [] : ['family']);
      expect(listPending(store, chatId, 9)).toHaveLength(text === '/stop' ? 1 : 0);
      expect(told()).toEqual([]);
    },
  );

  test('keeps nothing of the chat from being received afterwards', async () => {
    const { say, store, woken } = openRouter();
    store.run(refuse('@Andy first'));
    const received = [say('@Andy first'), say('@Andy second')];
    expect((await Promise.allSettled(received)).map(({ status }) => status)).toContain('rejected');
    store.run('DROP TRIGGER full');
    await say('@Andy third');
    expect(woken.length).toBeGreaterThan(0);
  });
});

test('a command that breaks is answered, and does not come again', async () => {
  const { host, outbox, owner, store } = openFeatureHost();
  saveGroup(store, { ...mainGroup, chatId });
  const router = new Router({
    ...host,
    outbox,
    owner,
    findCommand: () => () => {
      throw new SyntaxError('odd words');
    },
    wake: () => {},
  });
  const message = { chatId, id: 'odd', senderId: alice, senderName: 'Alice', text: '/odd' };
  const sentAtMs = host.clock.now();
  await router.receive([{ ...message, sentAtMs, attachments: [] }]);
  await router.receive([{ ...message, sentAtMs, attachments: [] }]);
  expect(listPending(store, chatId, 10).map(wordsOf)).toEqual([
    'That failed on my side; my log says why.',
  ]);
});
