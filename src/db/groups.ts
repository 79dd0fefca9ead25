/** Chats, and the groups registered in them. */
import type { Store } from '../db.ts';
import type { ChatId, Group } from '../types.ts';

/** Of a range that Debian leaves to local use; each group takes the next one. */
const firstUid = 200_000;

/** All that is kept of a chat without a group. A null name leaves the known one. */
export function noteChat(store: Store, chatId: ChatId, name: string | null, atMs: number): void {
  store.run(
    `INSERT INTO chats (id, name, last_message_at) VALUES (?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET name = coalesce(excluded.name, name),
       last_message_at = max(last_message_at, excluded.last_message_at)`,
    ...[chatId, name, atMs],
  );
}

export interface Chat {
  id: ChatId;
  name: string | null;
  lastMessageAtMs: number;
}

const selectChats = 'SELECT id, name, last_message_at AS lastMessageAtMs FROM chats';

/** Those with the latest messages. */
export function listChats(store: Store, most: number): Chat[] {
  return store.all(`${selectChats} ORDER BY last_message_at DESC LIMIT ?`, most);
}

export function findChat(store: Store, chatId: ChatId): Chat | undefined {
  return store.get(`${selectChats} WHERE id = ?`, chatId);
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
    requires_trigger AS requiresTrigger, triggered_by AS triggeredBy, uid
    FROM groups WHERE ${condition} ORDER BY uid`;
  return store.all<Group & { triggeredBy: string }>(sql, ...values).map((row) => ({
    ...row,
    isMain: Boolean(row.isMain),
    requiresTrigger: Boolean(row.requiresTrigger),
    triggeredBy: JSON.parse(row.triggeredBy),
  }));
}

/** Registers it, or changes all but its uid. Throws when another group has its chat. */
export function saveGroup(store: Store, group: Omit<Group, 'uid'>): void {
  const { folder, chatId, name, isMain, requiresTrigger, triggeredBy } = group;
  store.run(
    `INSERT INTO groups (folder, chat_id, name, is_main, requires_trigger, triggered_by, uid)
     VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(uid) + 1, ?) FROM groups))
     ON CONFLICT (folder) DO UPDATE SET chat_id = excluded.chat_id, name = excluded.name,
       is_main = excluded.is_main, requires_trigger = excluded.requires_trigger,
       triggered_by = excluded.triggered_by`,
    ...[folder, chatId, name, Number(isMain), Number(requiresTrigger)],
    ...[JSON.stringify(triggeredBy), firstUid],
  );
}

/** Gives what is neither handled nor delivered to another chat. */
export function moveOpen(store: Store, from: ChatId, to: ChatId): void {
  store.run('UPDATE messages SET chat_id = ? WHERE chat_id = ? AND handled_at IS NULL', to, from);
  store.run(`UPDATE outbox SET chat_id = ? WHERE chat_id = ? AND state = 'pending'`, to, from);
}
