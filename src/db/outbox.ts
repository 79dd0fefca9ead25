/**
 * Outgoing messages, which are delivered in order within each lane of a chat, and their pieces.
 */
import { z } from 'zod';
import type { Store } from '../db.ts';
import type { ChatId, Lane, OutboundFile, OutboundMessage } from '../types.ts';
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

function toFileColumn(file: OutboundFile | null): string {
  if (!file) return 'null';
  const { hostPath: path, ...rest } = file;
  return JSON.stringify({ path, ...rest });
}

/** `turnId`: the turn in which an agent says it, if any. */
export function saveOutbound(
  store: Store,
  message: OutboundMessage,
  { lane, turnId = null }: { lane: Lane; turnId?: number | null },
): void {
  const { id, chatId, kind, about } = message;
  store.run(
    `INSERT INTO outbox (id, chat_id, lane, turn_id, text, file, about, is_reaction)
     VALUES (:id, :chatId, :lane, :turnId, :text, :file, :about, :isReaction)`,
    {
      id,
      chatId,
      lane,
      turnId,
      text: wordsOf(message),
      file: toFileColumn(kind === 'file' ? message.file : null),
      about: JSON.stringify(about),
      isReaction: kind === 'reaction',
    },
  );
}

const pendingInChat = `FROM outbox WHERE chat_id = :chatId AND state = 'pending'`;
const selectPending = `SELECT id, chat_id AS chatId, text, file, about, is_reaction AS isReaction
  ${pendingInChat}`;

/** The newest pending messages of a chat, oldest first. */
export function listPending(store: Store, chatId: ChatId, most: number): OutboundMessage[] {
  const sql = `${selectPending} ORDER BY seq DESC LIMIT :most`;
  return store.all<OutboxRow>(sql, { chatId, most }).map(toOutbound).reverse();
}

export function hasPending(store: Store, chatId: ChatId): boolean {
  return Boolean(store.get(`SELECT 1 ${pendingInChat} LIMIT 1`, { chatId }));
}

/** The oldest pending message of a lane; with `isFileOnItsWay`, the oldest without a file. */
export function findNextPending(
  store: Store,
  chatId: ChatId,
  lane: Lane,
  isFileOnItsWay = false,
): OutboundMessage | undefined {
  const sql = `${selectPending} AND lane = :lane AND (NOT :isFileOnItsWay OR file = 'null')
    ORDER BY seq LIMIT 1`;
  const row = store.get<OutboxRow>(sql, { chatId, lane, isFileOnItsWay });
  return row && toOutbound(row);
}

export function listPendingChats(store: Store): ChatId[] {
  const sql = `SELECT DISTINCT chat_id AS chatId FROM outbox WHERE state = 'pending'`;
  return store.all<{ chatId: ChatId }>(sql).map(({ chatId }) => chatId);
}

/** A part of an outgoing message, as its channel delivers it. */
export interface Piece {
  id: string;
  /** The id by which people's messages refer to it. */
  sentAs: string;
  text: string;
  file: OutboundFile | null;
}

export function hasPieces(store: Store, id: string): boolean {
  return Boolean(store.get('SELECT 1 FROM pieces WHERE outbox_id = :id LIMIT 1', { id }));
}

export function savePieces(store: Store, outboxId: string, pieces: Piece[]): void {
  pieces.forEach(({ id, sentAs, text, file }, number) => {
    store.run(
      `INSERT INTO pieces (id, outbox_id, number, sent_as, text, file)
       VALUES (:id, :outboxId, :number, :sentAs, :text, :file)`,
      { id, outboxId, number, sentAs, text, file: toFileColumn(file) },
    );
  });
}

/** The next piece of a pending message. The first one bears what the message is about. */
export function findNextPiece(store: Store, outboxId: string): OutboundMessage | undefined {
  const row = store.get<OutboxRow>(
    `SELECT pieces.id, chat_id AS chatId, pieces.text, pieces.file,
       iif(number = 0, about, 'null') AS about, is_reaction AS isReaction
     FROM pieces JOIN outbox ON outbox.id = outbox_id
     WHERE outbox_id = :outboxId AND state = 'pending' AND is_sent = 0 ORDER BY number LIMIT 1`,
    { outboxId },
  );
  return row && toOutbound(row);
}

/** The message is acknowledged with its last piece. */
export function endPiece(store: Store, id: string, outboxId: string, nowMs: number): void {
  store.run('UPDATE pieces SET is_sent = 1 WHERE id = :id', { id });
  store.run(
    `UPDATE outbox SET state = 'acknowledged', ended_at = :nowMs WHERE id = :outboxId
       AND NOT EXISTS (SELECT 1 FROM pieces WHERE outbox_id = :outboxId AND is_sent = 0)`,
    { outboxId, nowMs },
  );
}

export function refuseOutbound(store: Store, id: string, reason: string, nowMs: number): void {
  const sql = `UPDATE outbox SET state = 'refused', reason = :reason, ended_at = :nowMs
    WHERE id = :id`;
  store.run(sql, { id, reason, nowMs });
}

/** Withdraws what an agent has said and is not delivered, but for `except`. Returns the ids. */
export function withdrawPending(
  store: Store,
  agentId: string,
  except: string[],
  nowMs: number,
): string[] {
  const rows = store.all<{ id: string }>(
    `UPDATE outbox SET state = 'withdrawn', ended_at = :nowMs
     WHERE state = 'pending' AND turn_id IN (SELECT id FROM turns WHERE agent_id = :agentId)
       AND id NOT IN (SELECT value FROM json_each(:except)) RETURNING id`,
    { agentId, except: JSON.stringify(except), nowMs },
  );
  return rows.map(({ id }) => id);
}

/** Why messages to the chat were refused of which nobody there was told, each reason once. */
export function takeRefusals(store: Store, chatId: ChatId, nowMs: number): Map<string, number> {
  const rows = store.all<{ reason: string }>(
    `UPDATE outbox SET told_at = :nowMs
     WHERE chat_id = :chatId AND state = 'refused' AND told_at IS NULL RETURNING reason`,
    { chatId, nowMs },
  );
  const counts = new Map<string, number>();
  for (const { reason } of rows) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return counts;
}

/** The outgoing message that people's messages call `sentAs`. */
export function findSaid(
  store: Store,
  chatId: ChatId,
  sentAs: string,
): { id: string; text: string } | undefined {
  return store.get(
    `SELECT outbox.id, pieces.text FROM pieces JOIN outbox ON outbox.id = outbox_id
     WHERE sent_as = :sentAs AND chat_id = :chatId`,
    { chatId, sentAs },
  );
}

/** The turn in which an outgoing message was said. */
export function findTurnOf(
  store: Store,
  id: string,
): { turnId: number; agentId: string } | undefined {
  const sql = `SELECT turns.id AS turnId, agent_id AS agentId
    FROM outbox JOIN turns ON turns.id = turn_id WHERE outbox.id = :id`;
  return store.get(sql, { id });
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
  const sql = `SELECT 1 FROM outbox LEFT JOIN pieces ON outbox_id = outbox.id
    WHERE state = 'pending' AND :path IN (outbox.file ->> '$.path', pieces.file ->> '$.path')`;
  return Boolean(store.get(sql, { path }));
}
