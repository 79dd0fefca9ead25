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
  if (!findChat(store, chatId) && !findGroupByChat(store, chatId))
    throw new UserError('No such chat is known. list_groups shows those that wrote.');
  const folder = args.folder ?? folderFor(name);
  const group = openGroup(store, { chatId, folder, name });
  const settings = {
    name,
    requiresTrigger: requiresTrigger ?? group.requiresTrigger,
    triggeredBy: args.triggered_by === undefined ? group.triggeredBy : args.triggered_by,
  };
  saveGroup(store, { ...group, ...settings });
  return `Registered: ${JSON.stringify({ chat_id: chatId, folder: group.folder, ...settings })}`;
}

/** The main group talks in `chatId` from now on; what waits in its chat goes along. */
export function moveMain(store: Store, chatId: ChatId): void {
  store.transaction(() => {
    const main = findMainGroup(store);
    saveGroup(store, { ...mainGroup, ...main, chatId });
    if (main) moveOpen(store, main.chatId, chatId);
  });
}

function folderFor(name: string): string {
  const plain = name.normalize('NFKD').toLowerCase().replace(/\p{M}/gu, '');
  return (
    plain
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 40) || 'group'
  );
}

/** Throws when there is no such agent. */
export function loadAgent(store: Store, id: string): Agent {
  const group = findGroup(store, id);
  if (!group) throw new Error(`there is no agent ${id}`);
  return { id, group };
}

/** Whether everything that was said in the chat is answered and delivered. */
export function settledState(
  store: Store,
  chatId: ChatId,
  isBusy: (agentId: string) => boolean,
): Settled {
  const group = findGroupByChat(store, chatId);
  if (findNextPending(store, chatId) || (group && isBusy(group.folder))) return 'open';
  return group && hasUnclaimed(store, chatId) ? 'failed' : 'settled';
}
