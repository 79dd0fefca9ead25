/** Chats, and the groups registered in them. */
import { z } from 'zod';
import type { Store } from '../db.ts';
import { plainName } from '../text.ts';
import { type ChatId, type Group, UserError } from '../types.ts';
import { fromJson } from './json.ts';

/** The first uid of a range that Debian leaves for local use. Each group gets the next one. */
const firstUid = 200_000;

/**
 * Nothing more is kept of a chat without a group. A null name keeps the known one, as does one of
 * which nothing plain is left.
 */
export function noteChat(store: Store, chatId: ChatId, given: string | null, atMs: number): void {
  const name = plainName(given ?? '') || null;
  store.run(
    `INSERT INTO chats (id, name, last_message_at) VALUES (:chatId, :name, :atMs)
     ON CONFLICT (id) DO UPDATE SET name = coalesce(excluded.name, name),
       last_message_at = max(last_message_at, excluded.last_message_at)`,
    { chatId, name, atMs },
  );
}

export interface Chat {
  id: ChatId;
  name: string | null;
  lastMessageAtMs: number;
}

const selectChats = 'SELECT id, name, last_message_at AS lastMessageAtMs FROM chats';

/** The chats with the latest messages, latest first. */
export function listChats(store: Store, most: number): Chat[] {
  return store.all(`${selectChats} ORDER BY last_message_at DESC LIMIT :most`, { most });
}

export function findChat(store: Store, chatId: ChatId): Chat | undefined {
  return store.get(`${selectChats} WHERE id = :chatId`, { chatId });
}

export interface GroupRow extends Omit<Group, 'isMain' | 'requiresTrigger' | 'triggeredBy'> {
  isMain: number;
  requiresTrigger: number;
  triggeredBy: string;
}

export const groupColumns = `groups.folder, chat_id AS chatId, name, is_main AS isMain,
  requires_trigger AS requiresTrigger, triggered_by AS triggeredBy, uid`;

const triggeredBySchema = z.array(z.string()).nullable();

export function toGroup(row: GroupRow): Group {
  return {
    ...row,
    isMain: Boolean(row.isMain),
    requiresTrigger: Boolean(row.requiresTrigger),
    triggeredBy: fromJson(triggeredBySchema, row.triggeredBy),
  };
}

export function listGroups(store: Store): Group[] {
  return select(store, 'true');
}

export function findGroup(store: Store, folder: string): Group | undefined {
  return select(store, 'folder = :key', folder)[0];
}

/** Throws UserError, which names the groups there are. */
export function loadGroup(store: Store, folder: string): Group {
  const group = findGroup(store, folder);
  const known = () => listGroups(store).map((each) => each.folder);
  if (!group) throw new UserError(`There is no group ${folder}. There are: ${known().join(', ')}.`);
  return group;
}

/** A group that has a chat. */
export type ChatGroup = Group & { chatId: ChatId };

export function findGroupByChat(store: Store, chatId: ChatId): ChatGroup | undefined {
  const [group] = select(store, 'chat_id = :key', chatId);
  return group && { ...group, chatId };
}

export function findMainGroup(store: Store): Group | undefined {
  return select(store, 'is_main = 1')[0];
}

function select(store: Store, condition: string, key?: string): Group[] {
  const sql = `SELECT ${groupColumns} FROM groups WHERE ${condition} ORDER BY uid`;
  return store.all<GroupRow>(sql, key === undefined ? {} : { key }).map(toGroup);
}

/**
 * Registers a group, with an agent of its own, or updates all but its uid. Throws if another group
 * has the chat.
 */
export function saveGroup<Chat extends ChatId | null>(
  store: Store,
  group: Omit<Group, 'uid'> & { chatId: Chat },
): Group & { chatId: Chat } {
  const { folder, chatId, isMain, requiresTrigger } = group;
  const name = plainName(group.name) || folder;
  const inbox = ownInbox(store, folder);
  const triggeredBy = JSON.stringify(group.triggeredBy);
  store.run(
    `INSERT INTO groups (folder, chat_id, name, is_main, requires_trigger, triggered_by, uid)
     VALUES (:folder, :chatId, :name, :isMain, :requiresTrigger, :triggeredBy,
       (SELECT coalesce(max(uid) + 1, :firstUid) FROM groups))
     ON CONFLICT (folder) DO UPDATE SET chat_id = excluded.chat_id, name = excluded.name,
       is_main = excluded.is_main, requires_trigger = excluded.requires_trigger,
       triggered_by = excluded.triggered_by`,
    { folder, chatId, name, isMain, requiresTrigger, triggeredBy, firstUid },
  );
  // Another agent may have taken the plain id.
  store.run(
    `INSERT INTO agents (id, folder)
     SELECT iif(EXISTS (SELECT 1 FROM agents WHERE id = :folder), :folder || '.own', :folder), :folder
     WHERE NOT EXISTS (SELECT 1 FROM agents WHERE folder = :folder AND inbox IS NULL)`,
    { folder },
  );
  const inboxNow = ownInbox(store, folder);
  if (inbox !== undefined && inboxNow !== undefined && inbox !== inboxNow)
    moveOpen(store, inbox, inboxNow);
  const sql = 'SELECT uid FROM groups WHERE folder = :folder';
  return { ...group, name, uid: store.get<{ uid: number }>(sql, { folder })?.uid ?? 0 };
}

/** What belongs to the group in other tables goes with it, by triggers. */
export function deleteGroup(store: Store, folder: string): void {
  store.run('DELETE FROM groups WHERE folder = :folder', { folder });
}

/** Moves open messages and pending deliveries to another chat. */
function moveOpen(store: Store, from: ChatId, to: ChatId): void {
  const move = 'SET chat_id = :to WHERE chat_id = :from';
  store.run(`UPDATE messages ${move} AND handled_at IS NULL`, { from, to });
  // Their pieces were made for the old chat's channel.
  store.run(
    `DELETE FROM pieces WHERE outbox_id IN (
       SELECT id FROM outbox WHERE chat_id = :from AND state = 'pending')`,
    { from },
  );
  store.run(`UPDATE outbox ${move} AND state = 'pending'`, { from, to });
}

/** Where messages to the group's own agent lie: in its chat, or without one in an inbox of its own. */
function ownInbox(store: Store, folder: string): string | undefined {
  const sql = `SELECT coalesce(chat_id, 'agent:' || id) AS inbox
    FROM agents JOIN groups USING (folder) WHERE folder = :folder AND agents.inbox IS NULL`;
  return store.get<{ inbox: string }>(sql, { folder })?.inbox;
}
