/** Outgoing messages, which are delivered in order within each chat. */
import { z } from 'zod';
import type { Store } from '../db.ts';
import type { ChatId, Delivery, OutboundMessage } from '../types.ts';
import { fromJson } from './json.ts';

const fileSchema = z
  .object({ path: z.string(), name: z.string(), mime: z.string(), sizeBytes: z.number() })
  .transform(({ path, ...file }) => ({ ...file, hostPath: path }))
  .nullable();
const aboutSchema = z
  .object({ messageId: z.string(), senderId: z.string(), text: z.string() })
  .nullable();

interface OutboxRow {
  id: string;
  chatId: ChatId;
  text: string;
  file: string | null;
  about: string | null;
  isReaction: number;
}

function toOutbound({ id, chatId, text, isReaction, ...row }: OutboxRow): OutboundMessage {
  const about = fromJson(aboutSchema, row.about);
  const file = fromJson(fileSchema, row.file);
  if (isReaction && about) return { kind: 'reaction', id, chatId, emoji: text, about };
  if (file) return { kind: 'file', id, chatId, text, file, about };
  return { kind: 'text', id, chatId, text, about };
}

/** What the column `text` holds. */
export function wordsOf(message: OutboundMessage): string {
  return message.kind === 'reaction' ? message.emoji : message.text;
}

export function saveOutbound(store: Store, message: OutboundMessage, turnId: number | null): void {
  const { id, chatId, kind, about } = message;
  const { hostPath: path, ...rest } = kind === 'file' ? message.file : { hostPath: undefined };
  store.run(
    `INSERT INTO outbox (id, chat_id, turn_id, text, file, about, is_reaction)
     VALUES (:id, :chatId, :turnId, :text, :file, :about, :isReaction)`,
    {
      id,
      chatId,
      turnId,
      text: wordsOf(message),
      file: path === undefined ? 'null' : JSON.stringify({ path, ...rest }),
      about: JSON.stringify(about),
      isReaction: kind === 'reaction',
    },
  );
}

const selectPending = `SELECT id, chat_id AS chatId, text, file, about, is_reaction AS isReaction
  FROM outbox WHERE chat_id = :chatId AND state = 'pending'`;

/** The newest pending messages of a chat, oldest first. */
export function listPending(store: Store, chatId: ChatId, most: number): OutboundMessage[] {
  const sql = `${selectPending} ORDER BY seq DESC LIMIT :most`;
  return store.all<OutboxRow>(sql, { chatId, most }).map(toOutbound).reverse();
}

export function findNextPending(store: Store, chatId: ChatId): OutboundMessage | undefined {
  const row = store.get<OutboxRow>(`${selectPending} ORDER BY seq LIMIT 1`, { chatId });
  return row && toOutbound(row);
}

export function listPendingChats(store: Store): ChatId[] {
  const sql = `SELECT DISTINCT chat_id AS chatId FROM outbox WHERE state = 'pending'`;
  return store.all<{ chatId: ChatId }>(sql).map(({ chatId }) => chatId);
}

export function endOutbound(
  store: Store,
  id: string,
  state: Delivery['kind'],
  nowMs: number,
): void {
  const sql = 'UPDATE outbox SET state = :state, ended_at = :nowMs WHERE id = :id';
  store.run(sql, { id, state, nowMs });
}

const textsOfTurnMax = 20;
const textOfTurnMax = 2000;

/** The last texts that a turn has sent, oldest first. Long texts are cut. */
export function listTextsOfTurn(store: Store, turnId: number): string[] {
  const rows = store.all<{ text: string }>(
    `SELECT substr(text, 1, :textOfTurnMax) AS text FROM outbox WHERE turn_id = :turnId
     ORDER BY seq DESC LIMIT :textsOfTurnMax`,
    { turnId, textOfTurnMax, textsOfTurnMax },
  );
  return rows.map(({ text }) => text).reverse();
}

export function countOfTurn(store: Store, turnId: number): number {
  const sql = 'SELECT count(*) AS count FROM outbox WHERE turn_id = :turnId';
  return store.get<{ count: number }>(sql, { turnId })?.count ?? 0;
}

/** Size of a chat's files that are still pending, or ended after `sinceMs`. */
export function sumFileBytes(store: Store, chatId: ChatId, sinceMs: number): number {
  const sql = `SELECT total(file ->> '$.sizeBytes') AS bytes FROM outbox
    WHERE chat_id = :chatId AND file <> 'null' AND (state = 'pending' OR ended_at > :sinceMs)`;
  return store.get<{ bytes: number }>(sql, { chatId, sinceMs })?.bytes ?? 0;
}

/** Whether the host's copy of a file is still to be sent. */
export function isFilePending(store: Store, path: string): boolean {
  const sql = `SELECT 1 FROM outbox WHERE state = 'pending' AND file ->> '$.path' = :path`;
  return Boolean(store.get(sql, { path }));
}
