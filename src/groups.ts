/** Registering groups, and how a chat stands. */
import { findGroup, findGroupByChat, saveGroup } from './db/groups.ts';
import { hasUnclaimed } from './db/messages.ts';
import { findNextPending } from './db/outbox.ts';
import type { Store } from './db.ts';
import { isGroupFolder } from './mounts.ts';
import { type ChatId, type Clock, type Group, type Settled, UserError } from './types.ts';

/**
 * The chat's group, registered on first use. Throws UserError when the folder's name is not
 * allowed or belongs to another chat.
 */
export function openGroup(
  store: Store,
  clock: Clock,
  { folder, chatId, name }: { folder: string; chatId: ChatId; name: string },
  isMain = false,
): Group {
  const known = findGroupByChat(store, chatId);
  if (known) return known;
  if (!isGroupFolder(folder))
    throw new UserError(
      `"${folder}" cannot name a group: use up to 40 lower-case letters, digits, - and _.`,
    );
  if (findGroup(store, folder)) throw new UserError(`The group ${folder} belongs to another chat.`);
  const group = { folder, chatId, name, isMain, requiresTrigger: !isMain };
  saveGroup(store, group, clock.now());
  return openGroup(store, clock, { folder, chatId, name });
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
