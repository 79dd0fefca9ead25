/**
 * Queries about messages: stored once by (chat, id), ordered by `seq`, claimed by a turn,
 * handled when that turn is done.
 */
import type { Store } from '../db.ts';
import type { ChatId, StoredMessage } from '../types.ts';

const select = `SELECT seq, chat_id AS chatId, id, sender_id AS senderId,
  sender_name AS senderName, text, sent_at AS sentAtMs, quote, attachments FROM messages`;

/** What no turn has claimed and nobody has handled. */
const unclaimed = 'chat_id = ? AND handled_at IS NULL AND turn_id IS NULL';

export interface NewMessage extends Omit<StoredMessage, 'seq'> {
  /** Whether it wakes the group's agent; if not, it is context for one that does. */
  wakes: boolean;
  /** The host answers it itself: no turn will claim it. */
  isHandled: boolean;
}

/** False when the message is already there: a second delivery changes nothing. */
export function saveMessage(store: Store, message: NewMessage, nowMs: number): boolean {
  const { chatId, id, senderId, senderName, text, sentAtMs, quote, attachments } = message;
  const { changes } = store.run(
    `INSERT INTO messages (chat_id, id, sender_id, sender_name, text, sent_at, stored_at, quote,
       attachments, wakes, handled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (chat_id, id) DO NOTHING`,
    ...[chatId, id, senderId, senderName, text, sentAtMs, nowMs],
    ...[quote && JSON.stringify(quote), JSON.stringify(attachments)],
    ...[Number(message.wakes), message.isHandled ? nowMs : null],
  );
  return changes > 0;
}

export function hasMessage(store: Store, chatId: ChatId, id: string): boolean {
  return Boolean(store.get('SELECT 1 FROM messages WHERE chat_id = ? AND id = ?', chatId, id));
}

/** Lets context beyond the newest `keep` go, and counts what was left out. */
export function trimContext(store: Store, chatId: ChatId, keep: number, nowMs: number): void {
  const { changes } = store.run(
    `UPDATE messages SET handled_at = ? WHERE seq IN (
       SELECT seq FROM messages WHERE ${unclaimed} AND wakes = 0
       ORDER BY seq DESC LIMIT -1 OFFSET ?)`,
    ...[nowMs, chatId, keep],
  );
  if (changes > 0)
    store.run('UPDATE chats SET omitted = omitted + ? WHERE id = ?', changes, chatId);
}

/** Context messages left out since this was last asked. */
export function takeOmittedCount(store: Store, chatId: ChatId): number {
  const sql = 'SELECT omitted FROM chats WHERE id = ?';
  const omitted = store.get<{ omitted: number }>(sql, chatId)?.omitted ?? 0;
  if (omitted > 0) store.run('UPDATE chats SET omitted = 0 WHERE id = ?', chatId);
  return omitted;
}

/** Whether a message waits that wakes the agent and that no turn has claimed. */
export function hasUnclaimed(store: Store, chatId: ChatId): boolean {
  return Boolean(
    store.get(`SELECT 1 FROM messages WHERE ${unclaimed} AND wakes = 1 LIMIT 1`, chatId),
  );
}

/** Claims the oldest waking messages, at most `most`, with the context before them. */
export function claimMessages(store: Store, chatId: ChatId, turnId: number, most: number): void {
  store.run(
    `UPDATE messages SET turn_id = ? WHERE ${unclaimed} AND seq <= (
       SELECT max(seq) FROM (
         SELECT seq FROM messages WHERE ${unclaimed} AND wakes = 1 ORDER BY seq LIMIT ?))`,
    ...[turnId, chatId, chatId, most],
  );
}

/**
 * Gives the turn's oldest messages that are in no prompt yet to this one, as many as fit into
 * `textMax` UTF-16 units but at least one, and lists them in order.
 */
export function assignPrompt(
  store: Store,
  turnId: number,
  uuid: string,
  textMax: number,
): StoredMessage[] {
  const open = 'turn_id = ? AND prompt_uuid IS NULL AND handled_at IS NULL';
  let length = 0;
  const fitting = store
    .all<Record<'quote' | 'attachments', string>>(`${select} WHERE ${open} ORDER BY seq`, turnId)
    .map(toMessage)
    .filter(({ text, quote }, index) => {
      length += text.length + (quote?.text.length ?? 0);
      return index === 0 || length <= textMax;
    });
  const lastSeq = fitting.at(-1)?.seq ?? 0;
  store.run(
    `UPDATE messages SET prompt_uuid = ? WHERE ${open} AND seq <= ?`,
    uuid,
    turnId,
    lastSeq,
  );
  return fitting;
}

function toMessage(row: Record<'quote' | 'attachments', string>): StoredMessage {
  const { quote, attachments } = row;
  return {
    ...row,
    quote: JSON.parse(quote),
    attachments: JSON.parse(attachments),
  } as StoredMessage;
}

/** Whether the turn had open messages in this prompt; they are handled now. */
export function handlePrompt(store: Store, turnId: number, uuid: string, nowMs: number): boolean {
  const { changes } = store.run(
    `UPDATE messages SET handled_at = ?
     WHERE turn_id = ? AND prompt_uuid = ? AND handled_at IS NULL`,
    ...[nowMs, turnId, uuid],
  );
  return changes > 0;
}

/** Whether a message of the turn still waits for its answer. */
export function hasOpenMessages(store: Store, turnId: number): boolean {
  return Boolean(
    store.get('SELECT 1 FROM messages WHERE turn_id = ? AND handled_at IS NULL LIMIT 1', turnId),
  );
}

/**
 * What becomes of a turn's open messages when an attempt is over: `again` puts them into a new
 * prompt of the turn, `release` leaves them to the next turn, `close` is done with them.
 */
export function settleMessages(
  store: Store,
  turnId: number,
  fate: 'again' | 'release' | 'close',
  nowMs: number,
): void {
  const change = {
    again: 'prompt_uuid = NULL',
    release: 'prompt_uuid = NULL, turn_id = NULL',
    close: `handled_at = ${nowMs}`,
  }[fate];
  store.run(`UPDATE messages SET ${change} WHERE turn_id = ? AND handled_at IS NULL`, turnId);
}
