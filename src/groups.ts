/** Groups and their agents: registering one, finding one, and how its chat stands. */
import { findGroup, findGroupByChat, saveGroup } from './db/groups.ts';
import { hasUnclaimed } from './db/messages.ts';
import { findNextPending } from './db/outbox.ts';
import type { Store } from './db.ts';
import { isGroupFolder } from './mounts.ts';
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
  saveGroup(store, { ...request, isMain: false, requiresTrigger: true });
  return openGroup(store, request);
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
