import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../../../test/support/feature-host.ts';
import { agentOf } from '../../../test/support/store.ts';
import { findGroup, noteChat, saveGroup } from '../../db/groups.ts';
import { mainGroup } from '../../groups.ts';
import { settle } from '../../outcome.ts';
import { Tools } from '../../tools.ts';
import { groups } from './groups.ts';

const chatId = 'whatsapp:family@g.us';
const bob = 'whatsapp:4922@s.whatsapp.net';

/** The tools of this feature, and a registered group beside main. */
function openGroups() {
  const { host, store } = openFeatureHost();
  const tools = new Tools(groups.create(host).tools ?? []);
  saveGroup(store, mainGroup);
  saveGroup(store, { ...mainGroup, folder: 'family', chatId, name: 'Family', isMain: false });
  const ask = async (tool: string, args: object, isMain = true) => {
    const outcome = await tools.prepare(agentOf({ isMain }), tool, args);
    const { ok, text } = settle(store, () => outcome);
    if (!ok) throw new Error(text);
    return text;
  };
  const register = (args: object, isMain?: boolean) => ask('register_group', args, isMain);
  return { store, tools, ask, register };
}

describe('registering a group', () => {
  const work = { chat_id: 'whatsapp:work@g.us', name: 'Würk & Söhne' };

  test('is for main alone, and for chats that somebody wrote in', async () => {
    const { store, tools, ask, register } = openGroups();
    expect(tools.describe(agentOf({ isMain: false }))).toEqual([]);
    await expect(register(work, false)).rejects.toThrow('You have no tool register_group.');
    await expect(ask('list_groups', {}, false)).rejects.toThrow('You have no tool list_groups.');
    await expect(register(work)).rejects.toThrow(/No such chat/);
    noteChat(store, work.chat_id, null, 1);
    expect(await register(work)).toMatch(/Registered/);
    expect(findGroup(store, 'wurk-sohne')).toMatchObject({ chatId: work.chat_id, isMain: false });
  });

  test('again changes how it is answered and not where it lives', async () => {
    const { store, register } = openGroups();
    const args = { chat_id: chatId, name: 'Us', folder: 'elsewhere', requires_trigger: false };
    await register({ ...args, triggered_by: [bob] });
    expect(findGroup(store, 'family')).toMatchObject({
      name: 'Us',
      requiresTrigger: false,
      triggeredBy: [bob],
    });
    expect(findGroup(store, 'elsewhere')).toBeUndefined();
  });

  test('does not touch the main chat', async () => {
    const { register } = openGroups();
    const args = { chat_id: mainGroup.chatId, name: 'x', triggered_by: [bob] };
    await expect(register(args)).rejects.toThrow(/main chat is always answered/);
  });

  test('finds a folder for every name', async () => {
    const { store, register } = openGroups();
    for (const [id, name] of [
      ['a@g.us', 'Семья'],
      ['b@g.us', '家族'],
    ] as const) {
      noteChat(store, `whatsapp:${id}`, null, 1);
      await register({ chat_id: `whatsapp:${id}`, name });
    }
    expect(findGroup(store, 'group')?.name).toBe('Семья');
    expect(findGroup(store, 'group-2')?.name).toBe('家族');
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
