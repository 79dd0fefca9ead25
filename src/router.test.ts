import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { listChats, saveGroup } from './db/groups.ts';
import { assignPrompt, claimMessages, findMessage, hasUnclaimed } from './db/messages.ts';
import { findNextPending, listPending, wordsOf } from './db/outbox.ts';
import { mainGroup } from './groups.ts';
import { Router } from './router.ts';
import type { Amendment, InboundMessage } from './types.ts';

const chatId = 'whatsapp:family@g.us';
const alice = 'whatsapp:4911@s.whatsapp.net';
const bob = 'whatsapp:4922@s.whatsapp.net';
const hourMs = 3_600_000;

function openRouter(triggeredBy: string[] | null = null) {
  const { host, store, clock, config, outbox, owner, woken } = openFeatureHost();
  saveGroup(store, mainGroup);
  const router = new Router({
    ...host,
    outbox,
    owner,
    findCommand: ({ text }) =>
      text === '/stop' ? () => ({ commit: () => 'Stopped.' }) : undefined,
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
    expect(findNextPending(store, chatId)).toBeUndefined();
    await say('/stop', { senderId: bob });
    expect(findNextPending(store, chatId)).toMatchObject({ text: 'Stopped.' });
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
