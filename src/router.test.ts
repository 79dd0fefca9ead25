import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { HeldClock } from '../test/support/held-clock.ts';
import { openTemporaryStore, temporaryFolder } from '../test/support/store.ts';
import { defaultLimits, loadConfig } from './config.ts';
import { findGroup, listChats, saveGroup } from './db/groups.ts';
import { assignPrompt, claimMessages, findMessage, hasUnclaimed } from './db/messages.ts';
import { findNextPending } from './db/outbox.ts';
import { describeChats, registerGroup } from './groups.ts';
import { Outbox } from './outbox.ts';
import { amend, type RouterDependencies, receive } from './router.ts';
import type { Amendment, InboundMessage } from './types.ts';

const chatId = 'whatsapp:family@g.us';
const alice = 'whatsapp:4911@s.whatsapp.net';
const bob = 'whatsapp:4922@s.whatsapp.net';
const hourMs = 3_600_000;

function openRouter(triggeredBy: string[] | null = null) {
  const store = openTemporaryStore();
  const clock = new HeldClock();
  const config = loadConfig({ NANOCLAW_HOME: temporaryFolder() }, temporaryFolder());
  const base = { store, clock, config, limits: defaultLimits, log: pino({ level: 'silent' }) };
  const outbox = new Outbox({
    ...base,
    channelOf: () => undefined,
    leaving() {},
    delivered() {},
    refused() {},
  });
  const woken: string[] = [];
  const told: string[] = [];
  const deps: RouterDependencies = {
    ...base,
    outbox,
    findCommand: ({ text }) => (text === '/stop' ? () => 'Stopped.' : undefined),
    wake: (agentId) => woken.push(agentId),
    tellOwner: (text) => told.push(text),
  };
  const group = { folder: 'family', chatId, name: 'Family', isMain: false, requiresTrigger: true };
  saveGroup(store, { ...group, triggeredBy });
  prepareFolder(config.groupsDir);
  let count = 0;
  const say = (text: string, more: Partial<InboundMessage> = {}) => {
    count += 1;
    const message = { chatId, id: `m${count}`, senderId: alice, senderName: 'Alice', text };
    const sentAtMs = clock.now();
    return receive(deps, [{ ...message, sentAtMs, attachments: [], ...more }]);
  };
  const change = (messageId: string, text: string | null, more: Partial<Amendment> = {}) => {
    count += 1;
    const by = { chatId, id: `e${count}`, messageId, senderId: alice, sentAtMs: clock.now() };
    return amend(deps, { ...by, text, ...more });
  };
  const prompt = () => {
    claimMessages(store, chatId, 1, 100);
    return assignPrompt(store, 1, crypto.randomUUID(), 10_000).map(({ text }) => text);
  };
  return { store, clock, config, woken, told, say, change, prompt };
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
    expect(findNextPending(store, chatId)?.text).toBe('Stopped.');
    await say('@Andy hello', { senderId: bob });
    expect(woken).toEqual(['family']);
  });

  test('is nobody by a message that is only context, and nobody half a day late', async () => {
    const { say, woken, told, clock } = openRouter();
    await say('@Andy [reacted]', { isContext: true });
    await say('@Andy good night', { sentAtMs: clock.now() - 13 * hourMs });
    await say('/stop', { sentAtMs: clock.now() - 13 * hourMs });
    expect(woken).toEqual([]);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/1 messages in "Family" came more than 12 hours late/);
  });
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
    const path = findMessage(store, chatId, 'm1')?.attachments[0]?.path ?? '';
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

describe('registering a group', () => {
  const agentOf = (isMain: boolean) => ({
    id: 'x',
    group: {
      ...{ folder: 'x', chatId: 'terminal:x', name: 'x', isMain, requiresTrigger: false },
      ...{ triggeredBy: null, uid: 1 },
    },
  });
  const work = { chat_id: 'whatsapp:work@g.us', name: 'Würk & Söhne' };

  test('is for main alone, and for chats that somebody wrote in', async () => {
    const { store, say } = openRouter();
    expect(() => registerGroup(store, agentOf(false), work)).toThrow(/Only the main chat/);
    expect(() => describeChats(store, agentOf(false))).toThrow(/Only the main chat/);
    expect(() => registerGroup(store, agentOf(true), work)).toThrow(/No such chat/);
    await say('hello', { chatId: work.chat_id });
    expect(registerGroup(store, agentOf(true), work)).toMatch(/Registered/);
    expect(findGroup(store, 'wurk-sohne')).toMatchObject({ chatId: work.chat_id, isMain: false });
  });

  test('again changes how it is answered and not where it lives', () => {
    const { store } = openRouter();
    const args = { chat_id: chatId, name: 'Us', folder: 'elsewhere', requires_trigger: false };
    registerGroup(store, agentOf(true), { ...args, triggered_by: [bob] });
    expect(findGroup(store, 'family')).toMatchObject({
      ...{ name: 'Us', requiresTrigger: false, triggeredBy: [bob] },
    });
    expect(findGroup(store, 'elsewhere')).toBeUndefined();
  });

  test('does not touch the main chat, and nothing shuts its people out', async () => {
    const { store, say, woken } = openRouter([bob]);
    const family = findGroup(store, 'family');
    if (family) saveGroup(store, { ...family, isMain: true });
    const args = { chat_id: chatId, name: 'x', triggered_by: [bob] };
    expect(() => registerGroup(store, agentOf(true), args)).toThrow(/main chat is always answered/);
    await say('hello');
    expect(woken).toEqual(['family']);
  });

  test('finds a folder for every name', async () => {
    const { store, say } = openRouter();
    for (const [id, name] of [
      ['a@g.us', 'Семья'],
      ['b@g.us', '家族'],
    ] as const) {
      await say('hello', { chatId: `whatsapp:${id}` });
      registerGroup(store, agentOf(true), { chat_id: `whatsapp:${id}`, name });
    }
    expect(findGroup(store, 'group')?.name).toBe('Семья');
    expect(findGroup(store, 'group-2')?.name).toBe('家族');
  });

  test('cannot take the folder of another group, or a name that is no folder', async () => {
    const { store, say } = openRouter();
    await say('hello', { chatId: work.chat_id });
    const at = (folder: string) => () => registerGroup(store, agentOf(true), { ...work, folder });
    expect(at('family')).toThrow(/belongs to another chat/);
    expect(at('../x')).toThrow(/cannot name a group/);
    expect(at('global')).toThrow(/cannot name a group/);
  });

  test('of chats without a group only name and time are known', async () => {
    const { store, say } = openRouter();
    await say('a secret', { chatId: work.chat_id });
    expect(listChats(store, 10)).toMatchObject([{ id: work.chat_id, name: null }]);
    expect(store.all('SELECT * FROM messages')).toEqual([]);
  });
});
