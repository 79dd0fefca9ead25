/** The tools list_groups and register_group, with which main's agent gives chats their own agents. */
import { z } from 'zod';
import { findChat, findGroup, findGroupByChat, listChats, saveGroup } from '../../db/groups.ts';
import type { Store } from '../../db.ts';
import type { Feature, FeatureHost } from '../../feature.ts';
import { openGroup } from '../../groups.ts';
import { defineTool, type Tool } from '../../tools.ts';
import { type Agent, UserError } from '../../types.ts';

export const groups: Feature = {
  name: 'groups',
  migrations: [],
  create: (host) => ({ tools: [listGroups(host), registerGroup(host)] }),
};

const listedChatsMax = 200;
const isMain = ({ group }: Agent) => group.isMain;

function listGroups({ store }: FeatureHost): Tool {
  return defineTool({
    name: 'list_groups',
    description:
      'Lists the chats that the host knows, the latest first, with the folder of those that are registered.',
    args: z.strictObject({}),
    mayUse: isMain,
    prepare: async () => ({ commit: () => describeChats(store) }),
  });
}

function describeChats(store: Store): string {
  const lines = listChats(store, listedChatsMax).map(({ id, name, lastMessageAtMs }) => {
    const known = findGroupByChat(store, id);
    return JSON.stringify({
      chat_id: id,
      name,
      last_message: lastMessageAtMs ? new Date(lastMessageAtMs).toISOString() : null,
      folder: known?.folder ?? null,
      ...(known && { requires_trigger: known.requiresTrigger, triggered_by: known.triggeredBy }),
    });
  });
  return lines.join('\n') || 'No chat is known yet: somebody must write first.';
}

const registration = z.strictObject({
  chat_id: z.string().min(1).max(200),
  name: z.string().min(1).max(100),
  folder: z.string().max(40).optional(),
  requires_trigger: z.boolean().optional(),
  triggered_by: z.array(z.string().min(1).max(200)).max(256).nullish(),
});

function registerGroup({ store }: FeatureHost): Tool {
  return defineTool({
    name: 'register_group',
    description:
      'Gives a listed chat an agent of its own, or changes a registered one. requires_trigger (default true): only messages that call the assistant are answered. triggered_by: account ids as in the account attribute, or null for everybody. folder defaults to a form of the name.',
    args: registration,
    mayUse: isMain,
    prepare: async ({ args }) => ({ commit: () => register(store, args) }),
  });
}

/** Throws UserError for an unknown chat, the main chat, and a folder that is invalid or taken. */
function register(store: Store, args: z.infer<typeof registration>): string {
  const { chat_id: chatId, name } = args;
  const known = findGroupByChat(store, chatId);
  if (!known && !findChat(store, chatId))
    throw new UserError('No such chat is known. list_groups shows those that wrote.');
  if (known?.isMain) throw new UserError('The main chat is always answered: nothing to register.');
  const group =
    known ?? openGroup(store, { chatId, folder: args.folder ?? freeFolder(store, name), name });
  const { folder, requiresTrigger, triggeredBy } = saveGroup(store, {
    ...group,
    name,
    requiresTrigger: args.requires_trigger ?? group.requiresTrigger,
    triggeredBy: args.triggered_by === undefined ? group.triggeredBy : args.triggered_by,
  });
  const registered = { chat_id: chatId, folder, name, requiresTrigger, triggeredBy };
  return `Registered: ${JSON.stringify(registered)}`;
}

function freeFolder(store: Store, name: string): string {
  const plain = name.normalize('NFKD').toLowerCase().replace(/\p{M}/gu, '');
  const words = plain.replace(/[^a-z0-9]+/g, '-').slice(0, 35);
  const base = words.replace(/^-+|-+$/g, '') || 'group';
  let folder = base;
  for (let number = 2; findGroup(store, folder); number += 1) folder = `${base}-${number}`;
  return folder;
}
