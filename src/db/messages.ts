/**
 * Messages. Each is stored once, claimed by a turn, put into a prompt, and handled when the prompt
 * is answered.
 */
import { z } from 'zod';
import type { Store } from '../db.ts';
import type { InboxId, Sender, StoredMessage, Words } from '../types.ts';
import { fromJson } from './json.ts';

/**
 * `wakes`: the agent takes a turn for it. `context`: shown with the next message that wakes the
 * agent. `command`: the host has answered it.
 */
export type MessageRole = 'wakes' | 'context' | 'command';

const unclaimed = 'chat_id = :inbox AND handled_at IS NULL AND turn_id IS NULL';
const openInTurn = 'turn_id = :turnId AND handled_at IS NULL';
const columns = `seq, chat_id AS chatId, id, sender_kind AS senderKind, sender_id AS senderId,
  sender_name AS senderName, text, origin, mentions, sent_at AS sentAtMs, quote, attachments, role,
  prompt_uuid IS NOT NULL OR handled_at IS NOT NULL AS isPrompted`;

interface MessageRow extends Omit<StoredMessage, 'sender' | 'mentions' | 'quote' | 'attachments'> {
  senderKind: Sender['kind'];
  senderId: string;
  senderName: string;
  mentions: string;
  quote: string | null;
  attachments: string | null;
  role: MessageRole;
  isPrompted: number;
}

const mentionsSchema = z.array(
  z.object({ call: z.string(), accountId: z.string(), name: z.string() }),
);
const quoteSchema = z
  .object({
    messageId: z.string(),
    senderName: z.string(),
    text: z.string(),
    // Quotes of an earlier version were not checked.
    source: z.enum(['assistant', 'person', 'claim']).default('claim'),
  })
  .nullable();
const attachmentsSchema = z.array(
  z
    .object({
      kind: z.enum(['image', 'audio', 'video', 'document']),
      path: z.string(),
      name: z.string(),
      mime: z.string(),
      sizeBytes: z.number(),
    })
    .transform(({ path, ...file }) => ({ ...file, groupPath: path })),
);

/** `isPrompted`: it is in a prompt, or it is handled and will never be in one. */
export interface FoundMessage extends StoredMessage {
  role: MessageRole;
  isPrompted: boolean;
}

function toMessage({ senderKind, senderId, senderName, ...row }: MessageRow): FoundMessage {
  return {
    ...row,
    sender:
      senderKind === 'person'
        ? { kind: senderKind, id: senderId, name: senderName }
        : { kind: senderKind, id: senderId },
    mentions: fromJson(mentionsSchema, row.mentions),
    quote: fromJson(quoteSchema, row.quote),
    attachments: fromJson(attachmentsSchema, row.attachments ?? '[]'),
    isPrompted: Boolean(row.isPrompted),
  };
}

export interface NewMessage extends Omit<StoredMessage, 'seq'> {
  role: MessageRole;
}

/** Returns false, and changes nothing, if the message is already stored. */
export function saveMessage(store: Store, message: NewMessage, nowMs: number): boolean {
  const { chatId, id, sender, text, origin, sentAtMs, role } = message;
  const attachments = message.attachments.map(({ groupPath: path, ...file }) => ({
    path,
    ...file,
  }));
  const { changes } = store.run(
    `INSERT INTO messages (chat_id, id, sender_kind, sender_id, sender_name, text, origin, mentions,
       sent_at, quote, attachments, role, handled_at)
     VALUES (:chatId, :id, :senderKind, :senderId, :senderName, :text, :origin, :mentions,
       :sentAtMs, :quote, :attachments, :role, iif(:role = 'command', :nowMs, NULL))
     ON CONFLICT (chat_id, id) DO NOTHING`,
    {
      chatId,
      id,
      senderKind: sender.kind,
      senderId: sender.id,
      senderName: sender.kind === 'person' ? sender.name : '',
      text,
      origin,
      mentions: JSON.stringify(message.mentions),
      sentAtMs,
      quote: JSON.stringify(message.quote),
      attachments: JSON.stringify(attachments),
      role,
      nowMs,
    },
  );
  return changes > 0;
}

export function findMessage(store: Store, inbox: InboxId, id: string): FoundMessage | undefined {
  const sql = `SELECT ${columns} FROM messages WHERE chat_id = :inbox AND id = :id`;
  const row = store.get<MessageRow>(sql, { inbox, id });
  return row && toMessage(row);
}

export function editMessage(
  store: Store,
  seq: number,
  { text, origin, mentions }: Words,
  role: MessageRole,
): void {
  store.run(
    `UPDATE messages SET text = :text, origin = :origin, mentions = :mentions, role = :role
     WHERE seq = :seq`,
    { seq, text, origin, mentions: JSON.stringify(mentions), role },
  );
}

/**
 * Removes what a message says. Its row stays, so that it is not stored again. No further prompt will
 * hold it.
 */
export function emptyMessage(store: Store, seq: number, nowMs: number): void {
  store.run(
    `UPDATE messages SET text = '[deleted]', mentions = '[]', quote = 'null', attachments = '[]',
       handled_at = iif(prompt_uuid IS NULL, coalesce(handled_at, :nowMs), handled_at)
     WHERE seq = :seq`,
    { seq, nowMs },
  );
}

/** Drops unclaimed context beyond the newest `keep` messages. */
export function trimContext(store: Store, inbox: InboxId, keep: number, nowMs: number): void {
  const sql = `SELECT seq FROM messages WHERE ${unclaimed} AND role = 'context'
    ORDER BY seq DESC LIMIT -1 OFFSET :keep`;
  const seqs = store.all<{ seq: number }>(sql, { inbox, keep }).map(({ seq }) => seq);
  if (seqs.length > 0) dropContext(store, inbox, seqs, nowMs);
}

/** Takes context out of what waits for a prompt, and counts it. */
export function dropContext(store: Store, inbox: InboxId, seqs: number[], nowMs: number): void {
  store.run(
    `UPDATE messages SET handled_at = :nowMs WHERE seq IN (SELECT value FROM json_each(:seqs))`,
    { seqs: JSON.stringify(seqs), nowMs },
  );
  const sql = 'UPDATE chats SET omitted = omitted + :count WHERE id = :inbox';
  store.run(sql, { inbox, count: seqs.length });
}

/** Returns the number of context messages dropped since the last call. */
export function takeOmittedCount(store: Store, inbox: InboxId): number {
  const sql = 'SELECT omitted FROM chats WHERE id = :inbox';
  const omitted = store.get<{ omitted: number }>(sql, { inbox })?.omitted ?? 0;
  store.run('UPDATE chats SET omitted = 0 WHERE id = :inbox', { inbox });
  return omitted;
}

/** Whether a message that wakes the agent waits for a turn. */
export function hasUnclaimed(store: Store, inbox: InboxId): boolean {
  const sql = `SELECT 1 FROM messages WHERE ${unclaimed} AND role = 'wakes' LIMIT 1`;
  return Boolean(store.get(sql, { inbox }));
}

/** Closes the messages that wait in the inbox for a turn, without one. */
export function closeUnclaimed(store: Store, inbox: InboxId, nowMs: number): void {
  store.run(`UPDATE messages SET handled_at = :nowMs WHERE ${unclaimed} AND role = 'wakes'`, {
    inbox,
    nowMs,
  });
}

/** Claims the oldest messages that wake the agent, at most `most`, and the context before them. */
export function claimMessages(store: Store, inbox: InboxId, turnId: number, most: number): void {
  store.run(
    `UPDATE messages SET turn_id = :turnId WHERE ${unclaimed} AND seq <= (
       SELECT max(seq) FROM (
         SELECT seq FROM messages WHERE ${unclaimed} AND role = 'wakes' ORDER BY seq LIMIT :most))`,
    { inbox, turnId, most },
  );
}

const inNoPrompt = `${openInTurn} AND prompt_uuid IS NULL`;

/** The turn's messages that are in no prompt yet, in order. */
export function listUnprompted(store: Store, turnId: number): FoundMessage[] {
  const sql = `SELECT ${columns} FROM messages WHERE ${inNoPrompt} ORDER BY seq`;
  return store.all<MessageRow>(sql, { turnId }).map(toMessage);
}

/** Puts the turn's messages that are in no prompt, up to `lastSeq`, into the prompt `uuid`. */
export function assignPrompt(store: Store, turnId: number, uuid: string, lastSeq: number): void {
  store.run(`UPDATE messages SET prompt_uuid = :uuid WHERE ${inNoPrompt} AND seq <= :lastSeq`, {
    turnId,
    uuid,
    lastSeq,
  });
}

/** Marks the turn's open messages in these prompts as handled, and returns them in order. */
export function handlePrompts(
  store: Store,
  turnId: number,
  uuids: string[],
  nowMs: number,
): FoundMessage[] {
  const sql = `UPDATE messages SET handled_at = :nowMs
    WHERE ${openInTurn} AND prompt_uuid IN (SELECT value FROM json_each(:uuids))
    RETURNING ${columns}`;
  const values = { turnId, uuids: JSON.stringify(uuids), nowMs };
  const handled = store.all<MessageRow>(sql, values).map(toMessage);
  return handled.sort((a, b) => a.seq - b.seq);
}

export function hasOpenMessages(store: Store, turnId: number): boolean {
  return Boolean(store.get(`SELECT 1 FROM messages WHERE ${openInTurn} LIMIT 1`, { turnId }));
}

/** Returns a turn's open messages to the turn (`again`) or the inbox (`release`), or closes them. */
export function settleMessages(
  store: Store,
  turnId: number,
  fate: 'again' | 'release' | 'close',
  nowMs: number,
): void {
  store.run(
    `UPDATE messages SET prompt_uuid = NULL, turn_id = iif(:fate = 'release', NULL, turn_id),
       handled_at = iif(:fate = 'close', :nowMs, NULL) WHERE ${openInTurn}`,
    { turnId, fate, nowMs },
  );
}

/** What an agent has said to other agents that none of them has taken up. */
export function countWaitingFrom(store: Store, agentId: string): number {
  const sql = `SELECT count(*) AS count FROM messages
    WHERE handled_at IS NULL AND sender_kind = 'agent' AND sender_id = :agentId`;
  return store.get<{ count: number }>(sql, { agentId })?.count ?? 0;
}
