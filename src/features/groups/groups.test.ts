/** Who has an agent is decided by the owner: by own command, or by a yes to what main's agent asks. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../../../test/support/feature-host.ts';
import { agentOf, newMessage } from '../../../test/support/store.ts';
import { createCommands } from '../../commands.ts';
import { saveAgent } from '../../db/agents.ts';
import { listApprovals } from '../../db/approvals.ts';
import { findGroup, noteChat, saveGroup } from '../../db/groups.ts';
import { hasUnclaimed, saveMessage } from '../../db/messages.ts';
import { saveSession } from '../../db/runs.ts';
import { features } from '../../features.ts';
import { mainGroup } from '../../groups.ts';
import { settle } from '../../outcome.ts';
import { Tools } from '../../tools.ts';

const chatId = 'whatsapp:family@g.us';
const bob = 'whatsapp:4922@s.whatsapp.net';
const work = { chat_id: 'whatsapp:work@g.us', name: 'Würk & Söhne' };

/** All features, and a registered group beside main. */
function openGroups() {
  const opened = openFeatureHost();
  const { host, store, config, log, commands } = opened;
  host.reach = (group) => parts.flatMap((part) => part.reach?.(group) ?? []);
  const parts = features.map((feature) => feature.create(host));
  commands.push(...parts.flatMap((part) => part.commands ?? []));
  const tools = new Tools(parts.flatMap((part) => part.tools ?? []));
  const find = createCommands({ config, log }, commands);
  const main = saveGroup(store, mainGroup);
  saveGroup(store, { ...mainGroup, folder: 'family', chatId, name: 'Family', isMain: false });
  const ask = async (tool: string, args: object, isMain = true) => {
    const outcome = await tools.prepare(agentOf({ isMain }), tool, args);
    const { ok, text } = settle(store, () => outcome);
    if (!ok) throw new Error(text);
    return text;
  };
  const shown = () => listApprovals(store).at(-1)?.shown ?? '';
  return {
    ...opened,
    tools,
    ask,
    register: (args: object, isMain?: boolean) => ask('register_group', args, isMain),
    shown,
    /** The owner's answer to the latest request. */
    answer: (isYes: boolean) =>
      store.transaction(() => host.approvals.answer(listApprovals(store).at(-1)?.id ?? 0, isYes)),
    /** The owner in the main chat. */
    says: (text: string) => {
      const carryOut = find({ chatId: mainGroup.chatId, text, isOwner: true });
      return carryOut && settle(store, () => carryOut(main)).text;
    },
  };
}

describe('an agent that registers a chat', () => {
  test('asks the owner, who sees who the chat is and whom the agent will answer', async () => {
    const { store, register, shown, answer } = openGroups();
    noteChat(store, work.chat_id, 'Work\u202e', 1);
    const told = await register({ ...work, requires_trigger: false });
    expect(told).toMatch(/Your owner has been asked/);
    expect(findGroup(store, 'wurk-sohne')).toBeUndefined();
    expect(shown()).toBe(
      'let an agent answer everybody (called or not) in the chat "Work" (whatsapp:work@g.us), named "Würk & Söhne", with the folder "wurk-sohne"',
    );
    expect(answer(true)).toBe('Registered: "wurk-sohne" answers everybody (called or not).');
    expect(findGroup(store, 'wurk-sohne')).toMatchObject({
      chatId: work.chat_id,
      name: work.name,
      requiresTrigger: false,
      triggeredBy: null,
      isMain: false,
    });
  });

  test('gets nothing after a no', async () => {
    const { store, register, answer } = openGroups();
    noteChat(store, work.chat_id, null, 1);
    await register(work);
    answer(false);
    expect(findGroup(store, 'wurk-sohne')).toBeUndefined();
  });

  test('is main’s, and names a chat in which somebody wrote', async () => {
    const { tools, ask, register } = openGroups();
    const names = tools.describe(agentOf({ isMain: false })).map(({ name }) => name);
    expect(names).not.toContain('register_group');
    await expect(register(work, false)).rejects.toThrow('You have no tool register_group.');
    await expect(ask('list_groups', {}, false)).rejects.toThrow('You have no tool list_groups.');
    await expect(register(work)).rejects.toThrow(/No such chat/);
    const args = { chat_id: mainGroup.chatId, name: 'x', triggered_by: [bob] };
    await expect(register(args)).rejects.toThrow(/main chat is always answered/);
  });

  test('again asks to change whom it answers, beside what holds until now', async () => {
    const { store, register, shown, answer } = openGroups();
    const args = { chat_id: chatId, name: 'Us', folder: 'elsewhere', requires_trigger: true };
    await register({ ...args, triggered_by: [bob] });
    expect(shown()).toBe(
      `let an agent answer "${bob}" (when called) in the chat whatsapp:family@g.us, named "Us", with the folder "family"; until now named "Family", answering everybody (called or not)`,
    );
    answer(true);
    expect(findGroup(store, 'family')).toMatchObject({
      name: 'Us',
      requiresTrigger: true,
      triggeredBy: [bob],
    });
    expect(findGroup(store, 'elsewhere')).toBeUndefined();
  });

  test('does not get what the owner has decided otherwise meanwhile', async () => {
    const { store, register, answer, says } = openGroups();
    noteChat(store, work.chat_id, null, 1);
    await register({ ...work, folder: 'work', requires_trigger: false });
    says(`/register ${work.chat_id} work called ${bob}`);
    expect(answer(true)).toMatch(/could not be carried out: things have changed/);
    expect(findGroup(store, 'work')).toMatchObject({ requiresTrigger: true, triggeredBy: [bob] });
  });

  test('cannot ask for what the owner would not see in full', async () => {
    const { register } = openGroups();
    const triggered_by = Array.from({ length: 100 }, (_, number) => `whatsapp:${number}@lid`);
    await expect(register({ chat_id: chatId, name: 'x', triggered_by })).rejects.toThrow(
      /too long/,
    );
  });

  test('shows the name as it will be stored', async () => {
    const { store, register, shown, answer } = openGroups();
    noteChat(store, work.chat_id, null, 1);
    await register({ ...work, name: 'Work @4922 /new' });
    expect(shown()).toContain('named "Work 4922 new"');
    answer(true);
    expect(findGroup(store, 'work-4922-new')?.name).toBe('Work 4922 new');
  });

  test('finds a folder for every name, and no one’s old files', async () => {
    const { store, config, register, answer, shown } = openGroups();
    mkdirSync(join(config.groupsDir, 'work'), { recursive: true });
    for (const [id, name] of [
      ['a@g.us', 'Семья'],
      ['b@g.us', '家族'],
      ['c@g.us', 'Work'],
    ] as const) {
      noteChat(store, `whatsapp:${id}`, null, 1);
      await register({ chat_id: `whatsapp:${id}`, name });
      answer(true);
    }
    expect(findGroup(store, 'group')?.name).toBe('Семья');
    expect(findGroup(store, 'group-2')?.name).toBe('家族');
    expect(findGroup(store, 'work-2')?.name).toBe('Work');
    noteChat(store, 'whatsapp:d@g.us', null, 1);
    await register({ chat_id: 'whatsapp:d@g.us', name: 'Work', folder: 'work' });
    expect(shown()).toContain('"work" and the files that are there already');
  });

  test('cannot take the folder of another group, or a name that is no folder', async () => {
    const { store, register } = openGroups();
    noteChat(store, work.chat_id, null, 1);
    const at = (folder: string) => register({ ...work, folder });
    await expect(at('family')).rejects.toThrow(/belongs to another chat/);
    await expect(at('../x')).rejects.toThrow(/cannot name a group/);
    await expect(at('global')).rejects.toThrow(/cannot name a group/);
  });
});

describe('the owner', () => {
  test('registers a chat without a second word', () => {
    const { store, says } = openGroups();
    noteChat(store, work.chat_id, 'Work', 1);
    expect(says(`/register ${work.chat_id} work always ${bob}`)).toBe(
      `Registered: "work" answers "${bob}" (called or not).`,
    );
    expect(findGroup(store, 'work')).toMatchObject({ name: 'Work', triggeredBy: [bob] });
    expect(says(`/register ${work.chat_id} work sometimes`)).toMatch(/^Write it like/);
    expect(says('/register nobody@g.us work')).toMatch(/No such chat/);
  });

  test('sees all groups, and the chats without one', () => {
    const { store, says } = openGroups();
    noteChat(store, work.chat_id, 'Work`', 1);
    noteChat(store, chatId, 'Family', 1);
    says('/web family none');
    store.run(`INSERT INTO extra_mounts VALUES ('family', 'recipes', '/x/recipes', 1)`);
    expect(says('/groups')?.split('\n')).toEqual([
      'main: terminal:main, named "main", answers everybody (called or not). Web: open.',
      'family: "Family" (whatsapp:family@g.us), named "Family", answers everybody (called or not). Sees recipes. Web: none.',
      'No agent: "Work" (whatsapp:work@g.us)',
    ]);
  });
});

describe('a group that is unregistered', () => {
  /** The group, with rows in every table and files. */
  function openFull() {
    const opened = openGroups();
    const { store, config, says, outbox } = opened;
    for (const dir of [
      join(config.groupsDir, 'family'),
      join(config.dataDir, 'agents', 'family'),
    ]) {
      mkdirSync(dir, { recursive: true });
      writeFileSync(join(dir, 'notes.md'), 'ours');
    }
    mkdirSync(config.trashDir, { recursive: true });
    says('/web family open');
    store.run(`INSERT INTO extra_mounts VALUES ('family', 'recipes', '/x/recipes', 1)`);
    saveSession(store, 'family', 'a-session');
    saveMessage(store, newMessage({ chatId }), 1);
    outbox.add(chatId, { kind: 'text', text: 'late', about: null });
    const helper = { id: 'helper', folder: 'family', inbox: 'agent:helper', model: null };
    saveAgent(store, { ...helper, voice: { kind: 'chat' }, tools: null });
    saveMessage(store, newMessage({ chatId: 'agent:helper' }), 1);
    return opened;
  }

  test('leaves nothing that its chat or its name would find again, but its files', () => {
    const { store, config, says, host } = openFull();
    const ended: string[] = [];
    host.work.renew = (id) => {
      ended.push(id);
      return host.work.stop(id);
    };
    expect(says('/unregister family')).toMatch(/stay in groups\/family/);
    expect(ended).toEqual(['family', 'helper']);
    for (const table of ['web_policies', 'extra_mounts', 'sessions'])
      expect([table, store.all(`SELECT * FROM ${table}`)]).toEqual([table, []]);
    expect(store.all('SELECT id FROM agents')).toEqual([{ id: 'main' }]);
    expect(store.all(`SELECT * FROM outbox WHERE chat_id = '${chatId}'`)).toEqual([]);
    expect(hasUnclaimed(store, chatId) || hasUnclaimed(store, 'agent:helper')).toBe(false);
    expect(existsSync(join(config.groupsDir, 'family', 'notes.md'))).toBe(true);
    noteChat(store, chatId, null, 1);
    expect(says(`/register ${chatId} other`)).toMatch(/^Registered/);
  });

  test('takes its files with it where the owner says so', () => {
    const { config, says } = openFull();
    expect(says('/unregister family please')).toMatch(/^Nothing was done/);
    expect(says('/unregister family erase')).toMatch(/its files are erased/);
    expect(existsSync(join(config.groupsDir, 'family'))).toBe(false);
    expect(existsSync(join(config.dataDir, 'agents', 'family'))).toBe(false);
  });

  test('is never main, and must be there', () => {
    const { says } = openGroups();
    expect(says('/unregister main')).toBe('The main chat always has its agent.');
    expect(says('/unregister nobody')).toMatch(/^There is no group nobody/);
    expect(says('/unregister')).toMatch(/^There is no group/);
  });
});
