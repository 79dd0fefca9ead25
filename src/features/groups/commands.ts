/** The commands with which the owner gives chats agents of their own, and takes them away again. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Command } from '../../commands.ts';
import { listAgents } from '../../db/agents.ts';
import {
  deleteGroup,
  findChat,
  findGroupByChat,
  listChats,
  listGroups,
  loadGroup,
  saveGroup,
} from '../../db/groups.ts';
import type { FeatureHost } from '../../feature.ts';
import { openGroup, refuseFolder } from '../../groups.ts';
import { removeFolder } from '../../remove-folder.ts';
import { quoted } from '../../text.ts';
import { type Group, UserError } from '../../types.ts';

const otherChatsMax = 20;

const registration = z.strictObject({
  chatId: z.string(),
  name: z.string(),
  folder: z.string(),
  requiresTrigger: z.boolean(),
  triggeredBy: z.array(z.string()).nullable(),
});
export type Registration = z.infer<typeof registration>;

export function groupsCommand({ store, reach }: FeatureHost): Command<null> {
  return {
    name: '/groups',
    help: 'all groups, whom each answers and what it may reach; then the chats without an agent',
    who: 'main',
    parse: () => null,
    describe: () => 'list the groups',
    apply: () => ({
      commit: () => {
        const groups = listGroups(store).map((group) =>
          [
            `${group.folder}: ${group.chatId ? nameChat(store, group.chatId) : 'no chat'}, named ${quoted(group.name)}, answers ${answers(group)}.`,
            ...reach(group),
          ].join(' '),
        );
        const others = listChats(store, otherChatsMax).filter(
          ({ id }) => !findGroupByChat(store, id),
        );
        return [...groups, ...others.map(({ id }) => `No agent: ${nameChat(store, id)}`)].join(
          '\n',
        );
      },
    }),
  };
}

export function registerCommand({ store, config }: FeatureHost): Command<Registration> {
  return {
    name: '/register',
    takes: 'CHAT FOLDER [called|always] [ACCOUNT...]',
    help: 'give a chat an agent, or change whom it answers: everybody, or only these accounts',
    who: 'main',
    parse: ([chatId = '', folder = '', when = 'called', ...accounts]) => {
      if (!folder || !['called', 'always'].includes(when))
        throw new UserError(
          'Write it like: /register CHAT family called. /groups lists the chats.',
        );
      const name = findGroupByChat(store, chatId)?.name ?? findChat(store, chatId)?.name ?? folder;
      const triggeredBy = accounts.length > 0 ? accounts : null;
      return { chatId, name, folder, requiresTrigger: when === 'called', triggeredBy };
    },
    approvable: registration,
    describe: (args) => {
      const { chatId, name, folder } = args;
      const known = refuse(store, args);
      const hasFiles = !known && existsSync(join(config.groupsDir, folder));
      const before =
        known && `; until now named ${quoted(known.name)}, answering ${answers(known)}`;
      return `let an agent answer ${answers(args)} in the chat ${nameChat(store, chatId)}, named ${quoted(name)}, with the folder ${quoted(folder)}${hasFiles ? ' and the files that are there already' : ''}${before ?? ''}`;
    },
    apply: (args) => ({
      commit: () => {
        refuse(store, args);
        const saved = saveGroup(store, { ...openGroup(store, args), ...args });
        return `Registered: ${quoted(saved.folder)} answers ${answers(saved)}.`;
      },
    }),
  };
}

export function unregisterCommand(
  host: FeatureHost,
): Command<{ folder: string; isErased: boolean }> {
  const { store, config, work } = host;
  return {
    name: '/unregister',
    takes: 'GROUP [erase]',
    help: 'end the agent of a group; its files stay, or are erased too',
    who: 'main',
    parse: ([folder = '', word]) => {
      if (loadGroup(store, folder).isMain)
        throw new UserError('The main chat always has its agent.');
      if (word !== undefined && word !== 'erase')
        throw new UserError(`Nothing was done. Write just: /unregister ${folder} erase`);
      return { folder, isErased: word === 'erase' };
    },
    describe: ({ folder, isErased }) =>
      `end the agent of ${folder}${isErased ? ' and erase its files' : ''}`,
    apply: ({ folder, isErased }) => ({
      commit: () => {
        const agents = listAgents(store, folder);
        for (const { id } of agents) work.renew(id);
        deleteGroup(store, folder);
        if (!isErased) return `${folder} is unregistered. Its files stay in groups/${folder}.`;
        store.afterCommit(() => {
          removeFolder(join(config.groupsDir, folder), host);
          for (const { id } of agents) removeFolder(join(config.dataDir, 'agents', id), host);
        });
        return `${folder} is unregistered and its files are erased.`;
      },
    }),
  };
}

/** Returns the group that the chat has already. Throws UserError for what cannot be registered. */
function refuse(store: FeatureHost['store'], { chatId, folder }: Registration): Group | undefined {
  const known = findGroupByChat(store, chatId);
  if (known?.isMain) throw new UserError('The main chat is always answered: nothing to register.');
  if (known && known.folder !== folder)
    throw new UserError(`That chat has the folder ${known.folder} already.`);
  if (!known && !findChat(store, chatId))
    throw new UserError('No such chat is known: only those in which somebody wrote.');
  if (!known) refuseFolder(store, folder);
  return known;
}

function answers({
  requiresTrigger,
  triggeredBy,
}: Omit<Registration, 'chatId' | 'folder' | 'name'>) {
  const people = triggeredBy ? triggeredBy.map(quoted).join(', ') || 'nobody' : 'everybody';
  return `${people} (${requiresTrigger ? 'when called' : 'called or not'})`;
}

function nameChat(store: FeatureHost['store'], chatId: string): string {
  const name = findChat(store, chatId)?.name;
  return name ? `${quoted(name)} (${chatId})` : chatId;
}
