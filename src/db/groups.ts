/** Chats, and the groups registered in them. */
import type { Store } from '../db.ts';
import type { ChatId, Group } from '../types.ts';

/** Of a range that Debian leaves to local use; each group takes the next one. */
const firstUid = 200_000;

export function touchChat(store: Store, chatId: ChatId, atMs: number): void {
  store.run(
    `INSERT INTO chats (id, last_message_at) VALUES (?, ?)
     ON CONFLICT (id) DO UPDATE SET last_message_at = max(last_message_at, excluded.last_message_at)`,
    ...[chatId, atMs],
  );
}

export function listGroups(store: Store): Group[] {
  return select(store, 'true');
}

export function findGroup(store: Store, folder: string): Group | undefined {
  return select(store, 'folder = ?', folder)[0];
}

export function findGroupByChat(store: Store, chatId: ChatId): Group | undefined {
  return select(store, 'chat_id = ?', chatId)[0];
}

export function findMainGroup(store: Store): Group | undefined {
  return select(store, 'is_main = 1')[0];
}

function select(store: Store, condition: string, ...values: string[]): Group[] {
  const sql = `SELECT folder, chat_id AS chatId, name, is_main AS isMain,
    requires_trigger AS requiresTrigger, uid FROM groups WHERE ${condition} ORDER BY uid`;
  return store.all<Group>(sql, ...values).map((row) => ({
    ...row,
    isMain: Boolean(row.isMain),
    requiresTrigger: Boolean(row.requiresTrigger),
  }));
}

/** Throws when folder or chat is taken. */
export function saveGroup(store: Store, group: Omit<Group, 'uid'>): void {
  const { folder, chatId, name, isMain, requiresTrigger } = group;
  store.run(
    `INSERT INTO groups (folder, chat_id, name, is_main, requires_trigger, uid)
     VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(uid) + 1, ?) FROM groups))`,
    ...[folder, chatId, name, Number(isMain), Number(requiresTrigger), firstUid],
  );
}
