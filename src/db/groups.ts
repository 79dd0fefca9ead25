/** Queries about chats and the groups that are registered in them. */
import type { Store } from '../db.ts';
import type { ChatId, Group } from '../types.ts';

const select = `SELECT folder, chat_id AS chatId, name, is_main AS isMain,
  requires_trigger AS requiresTrigger, uid FROM groups`;

/** First uid of a range that Debian leaves to local use; each group takes the next one. */
const firstUid = 200_000;

function toGroup(row: Group): Group {
  return { ...row, isMain: Boolean(row.isMain), requiresTrigger: Boolean(row.requiresTrigger) };
}

/** Notes that a chat exists and when something was last said in it. */
export function touchChat(store: Store, chatId: ChatId, name: string, atMs: number): void {
  store.run(
    `INSERT INTO chats (id, name, last_message_at) VALUES (?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET last_message_at = max(last_message_at, excluded.last_message_at)`,
    ...[chatId, name, atMs],
  );
}

export function listGroups(store: Store): Group[] {
  return store.all<Group>(`${select} ORDER BY uid`).map(toGroup);
}

export function findGroup(store: Store, folder: string): Group | undefined {
  return store.all<Group>(`${select} WHERE folder = ?`, folder).map(toGroup)[0];
}

export function findGroupByChat(store: Store, chatId: ChatId): Group | undefined {
  return store.all<Group>(`${select} WHERE chat_id = ?`, chatId).map(toGroup)[0];
}

export function findMainGroup(store: Store): Group | undefined {
  return store.all<Group>(`${select} WHERE is_main = 1`).map(toGroup)[0];
}

/** Saves a new group and gives it a uid of its own. Throws when folder or chat is taken. */
export function saveGroup(store: Store, group: Omit<Group, 'uid'>, nowMs: number): void {
  const { folder, chatId, name, isMain, requiresTrigger } = group;
  store.transaction(() => {
    store.run(
      `INSERT INTO groups (folder, chat_id, name, is_main, requires_trigger, created_at, uid)
       VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(uid) + 1, ?) FROM groups))`,
      ...[folder, chatId, name, Number(isMain), Number(requiresTrigger), nowMs, firstUid],
    );
    touchChat(store, chatId, name, nowMs);
  });
}
