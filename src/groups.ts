/** Groups and their chats: opening one, moving main, and how a chat stands. */
import { listAgents } from './db/agents.ts';
import {
  type ChatGroup,
  findGroup,
  findGroupByChat,
  findMainGroup,
  saveGroup,
} from './db/groups.ts';
import { hasUnclaimed } from './db/messages.ts';
import { hasPending } from './db/outbox.ts';
import type { Store } from './db.ts';
import { isGroupFolder } from './mounts.ts';
import { type ChatId, type Settled, UserError } from './types.ts';

/**
 * The chat's group, registered on first use. Throws UserError when the folder's name is not
 * allowed or belongs to another chat.
 */
export function openGroup(
  store: Store,
  { folder, chatId, name }: { folder: string; chatId: ChatId; name: string },
): ChatGroup {
  const known = findGroupByChat(store, chatId);
  if (known) return known;
  refuseFolder(store, folder);
  return saveGroup(store, {
    folder,
    chatId,
    name,
    isMain: false,
    requiresTrigger: true,
    triggeredBy: null,
  });
}

/** The folder's group, whatever its chat is. One that has lost its chat, or is new, gets this one. */
export function reopenGroup(store: Store, request: Parameters<typeof openGroup>[1]): ChatGroup {
  const known = findGroup(store, request.folder);
  if (!known) return openGroup(store, request);
  const { chatId } = known;
  return chatId === null
    ? saveGroup(store, { ...known, chatId: request.chatId })
    : { ...known, chatId };
}

/** Throws UserError when no new group can have this folder. */
export function refuseFolder(store: Store, folder: string): void {
  if (!isGroupFolder(folder))
    throw new UserError(
      `"${folder}" cannot name a group: use up to 40 lower-case letters, digits, - and _.`,
    );
  if (findGroup(store, folder)) throw new UserError(`The group ${folder} belongs to another chat.`);
}

/** The main group of a new state. */
export const mainGroup = {
  folder: 'main',
  chatId: 'terminal:main',
  name: 'main',
  isMain: true,
  requiresTrigger: false,
  triggeredBy: null,
};

/**
 * Moves the main group to another chat, with its messages that are not handled or not delivered. A
 * group that had this chat keeps its folder and has no chat then.
 */
export function moveMain(store: Store, chatId: ChatId): void {
  store.transaction(() => {
    const main = findMainGroup(store);
    const other = findGroupByChat(store, chatId);
    if (other && !other.isMain) saveGroup(store, { ...other, chatId: null });
    saveGroup(store, { ...mainGroup, ...main, chatId });
  });
}

/** Whether everything that was said in the chat is answered and, unless `isMirror`, delivered. */
export function settledState(
  store: Store,
  chatId: ChatId,
  { isBusy, isMirror }: { isBusy: (agentId: string) => boolean; isMirror: boolean },
): Settled {
  const group = findGroupByChat(store, chatId);
  if (!isMirror && hasPending(store, chatId)) return 'open';
  if (!group) return 'settled';
  if (listAgents(store, group.folder).some(({ id }) => isBusy(id))) return 'open';
  return hasUnclaimed(store, chatId) ? 'failed' : 'settled';
}
