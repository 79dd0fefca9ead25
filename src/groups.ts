/** Groups and their agents: registering one, finding one, and how its chat stands. */
import {
  findChat,
  findGroup,
  findGroupByChat,
  findMainGroup,
  listChats,
  moveOpen,
  saveGroup,
} from './db/groups.ts';
import { hasUnclaimed } from './db/messages.ts';
import { findNextPending } from './db/outbox.ts';
import type { Store } from './db.ts';
import { isGroupFolder } from './mounts.ts';
import type { AgentRequest } from './protocol.ts';
import { type Agent, type ChatId, type Group, type Settled, UserError } from './types.ts';

/**
 * The chat's group, registered on first use. Throws UserError when the folder's name is not
 * allowed or belongs to another chat.
 */
export function openGroup(store: Store, request: Pick<Group, 'folder' | 'chatId' | 'name'>): Group {
  const { folder, chatId } = request;
  const known = findGroupByChat(store, chatId);
  if (known) return known;
  if (!isGroupFolder(folder))
    throw new UserError(
      `"${folder}" cannot name a group: use up to 40 lower-case letters, digits, - and _.`,
    );
  if (findGroup(store, folder)) throw new UserError(`The group ${folder} belongs to another chat.`);
  saveGroup(store, { ...request, isMain: false, requiresTrigger: true, triggeredBy: null });
  return openGroup(store, request);
}

/** As it is before anybody has said otherwise. */
export const mainGroup = {
  folder: 'main',
  chatId: 'terminal:main',
  name: 'main',
  isMain: true,
  requiresTrigger: false,
  triggeredBy: null,
};

const listedChatsMax = 200;

/** For the main agent; throws UserError for any other. */
export function describeChats(store: Store, { group }: Agent): string {
  if (!group.isMain) throw new UserError('Only the main chat may list chats.');
  const lines = listChats(store, listedChatsMax).map(({ id, name, lastMessageAtMs }) => {
    const known = findGroupByChat(store, id);
    return JSON.stringify({
      ...{
        chat_id: id,
        name,
        last_message: lastMessageAtMs ? new Date(lastMessageAtMs).toISOString() : null,
      },
      folder: known?.folder ?? null,
      ...(known && { requires_trigger: known.requiresTrigger, triggered_by: known.triggeredBy }),
    });
  });
  return lines.join('\n') || 'No chat is known yet: somebody must write first.';
}

/**
 * Registers a known chat, or changes how a registered one is answered. Throws UserError for any
 * agent but main's, a chat that nobody wrote in, and a folder that is not allowed or taken.
 */
export function registerGroup(
  store: Store,
  agent: Agent,
  args: Extract<AgentRequest, { tool: 'register_group' }>['args'],
): string {
  const { chat_id: chatId, name, requires_trigger: requiresTrigger } = args;
  if (!agent.group.isMain) throw new UserError('Only the main chat may register groups.');
  const known = findGroupByChat(store, chatId);
  if (!known && !findChat(store, chatId))
    throw new UserError('No such chat is known. list_groups shows those that wrote.');
  if (known?.isMain) throw new UserError('The main chat is always answered: nothing to register.');
  const folder = args.folder ?? freeFolder(store, name);
  const group = known ?? openGroup(store, { chatId, folder, name });
  const settings = {
    name,
    requiresTrigger: requiresTrigger ?? group.requiresTrigger,
    triggeredBy: args.triggered_by === undefined ? group.triggeredBy : args.triggered_by,
  };
  saveGroup(store, { ...group, ...settings });
  return `Registered: ${JSON.stringify({ chat_id: chatId, folder: group.folder, ...settings })}`;
}

/**
 * The main group talks in `chatId` from now on; what waits in its chat goes along. A group that
 * had this chat keeps its folder and has none.
 */
export function moveMain(store: Store, chatId: ChatId): void {
  store.transaction(() => {
    const main = findMainGroup(store);
    const other = findGroupByChat(store, chatId);
    if (other && !other.isMain) saveGroup(store, { ...other, chatId: `none:${other.folder}` });
    saveGroup(store, { ...mainGroup, ...main, chatId });
    if (main) moveOpen(store, main.chatId, chatId);
  });
}

function freeFolder(store: Store, name: string): string {
  const plain = name.normalize('NFKD').toLowerCase().replace(/\p{M}/gu, '');
  const words = plain.replace(/[^a-z0-9]+/g, '-').slice(0, 35);
  const base = words.replace(/^-+|-+$/g, '') || 'group';
  let folder = base;
  for (let number = 2; findGroup(store, folder); number += 1) folder = `${base}-${number}`;
  return folder;
}

/** Throws when there is no such agent. */
export function loadAgent(store: Store, id: string): Agent {
  const group = findGroup(store, id);
  if (!group) throw new Error(`there is no agent ${id}`);
  return { id, group };
}

/** Whether everything that was said in the chat is answered and, unless `isMirror`, delivered. */
export function settledState(
  store: Store,
  chatId: ChatId,
  { isBusy, isMirror }: { isBusy: (agentId: string) => boolean; isMirror: boolean },
): Settled {
  const group = findGroupByChat(store, chatId);
  if (!isMirror && findNextPending(store, chatId)) return 'open';
  if (group && isBusy(group.folder)) return 'open';
  return group && hasUnclaimed(store, chatId) ? 'failed' : 'settled';
}
