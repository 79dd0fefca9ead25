/**
 * Who has an agent: the owner's commands, and the tools list_groups and register_group, with which
 * main's agent asks the owner.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Command } from '../../commands.ts';
import { findGroup, findGroupByChat, listChats } from '../../db/groups.ts';
import type { Store } from '../../db.ts';
import type { Feature, FeatureHost } from '../../feature.ts';
import { plainName } from '../../text.ts';
import { defineTool, type Tool } from '../../tools.ts';
import type { Agent } from '../../types.ts';
import {
  groupsCommand,
  type Registration,
  registerCommand,
  unregisterCommand,
} from './commands.ts';

export const groups: Feature = {
  name: 'groups',
  migrations: [],
  create: (host) => {
    const register = registerCommand(host);
    return {
      tools: [listGroups(host), registerGroup(host, register)],
      commands: [groupsCommand(host), register, unregisterCommand(host)],
    };
  },
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

const registrationRequest = z.strictObject({
  chat_id: z.string().min(1).max(200),
  name: z.string().min(1).max(100),
  folder: z.string().max(40).optional(),
  requires_trigger: z.boolean().optional(),
  triggered_by: z.array(z.string().min(1).max(200)).max(256).nullish(),
});

function registerGroup(host: FeatureHost, register: Command<Registration>): Tool {
  return defineTool({
    name: 'register_group',
    description:
      'Asks the owner to let you give a listed chat an agent of its own, or change a registered one. The answer comes later, in a post. requires_trigger (default true): only messages that call the assistant are answered. triggered_by: account ids as in the account attribute, or null for everybody. folder defaults to a form of the name.',
    args: registrationRequest,
    mayUse: isMain,
    prepare: async ({ agent, args }) => ({
      commit: () => host.approvals.ask(agent.id, register, complete(host, args)),
    }),
  });
}

/** What a request leaves out is as it is, or the default. */
function complete(host: FeatureHost, request: z.infer<typeof registrationRequest>): Registration {
  const { chat_id: chatId, triggered_by: triggeredBy } = request;
  const known = findGroupByChat(host.store, chatId);
  const folder = known?.folder ?? request.folder ?? freeFolder(host, request.name);
  return {
    chatId,
    // As it will be stored, so that the owner is shown that.
    name: plainName(request.name) || folder,
    folder,
    requiresTrigger: request.requires_trigger ?? known?.requiresTrigger ?? true,
    triggeredBy: (triggeredBy === undefined ? known?.triggeredBy : triggeredBy) ?? null,
  };
}

function freeFolder({ store, config }: FeatureHost, name: string): string {
  const plain = name.normalize('NFKD').toLowerCase().replace(/\p{M}/gu, '');
  const words = plain.replace(/[^a-z0-9]+/g, '-').slice(0, 35);
  const base = words.replace(/^-+|-+$/g, '') || 'group';
  // The files of a group that is gone are not for the next one of that name.
  const isTaken = (folder: string) =>
    findGroup(store, folder) || existsSync(join(config.groupsDir, folder));
  let folder = base;
  for (let number = 2; isTaken(folder); number += 1) folder = `${base}-${number}`;
  return folder;
}
