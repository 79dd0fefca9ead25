/** Messages: stored once, claimed by a turn, put into a prompt, handled when that is answered. */
import type { Store } from '../db.ts';
import type { ChatId, StoredMessage } from '../types.ts';

const unclaimed = 'chat_id = ? AND handled_at IS NULL AND turn_id IS NULL';
const openInTurn = 'turn_id = ? AND handled_at IS NULL';
const asJson = `json_object('seq', seq, 'chatId', chat_id, 'id', id, 'senderId', sender_id,
  'senderName', sender_name, 'text', text, 'sentAtMs', sent_at, 'quote', json(quote),
  'attachments', json(attachments)) AS message`;

export interface NewMessage extends Omit<StoredMessage, 'seq'> {
  /** The group's agent; otherwise it is context for a message that does. */
  wakes: boolean;
  /** By the host itself: no turn will claim it. */
  isHandled: boolean;
}

/** False when it is there already: then nothing changes. */
export function saveMessage(store: Store, message: NewMessage, nowMs: number): boolean {
  const { chatId, id, senderId, senderName, text, sentAtMs, quote, attachments } = message;
  const { changes } = store.run(
    `INSERT INTO messages (chat_id, id, sender_id, sender_name, text, sent_at, quote,
       attachments, wakes, handled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (chat_id, id) DO NOTHING`,
    ...[chatId, id, senderId, senderName, text, sentAtMs],
    ...[JSON.stringify(quote), JSON.stringify(attachments)],
    ...[Number(message.wakes), message.isHandled ? nowMs : null],
  );
  return changes > 0;
}

export function hasMessage(store: Store, chatId: ChatId, id: string): boolean {
  return Boolean(store.get('SELECT 1 FROM messages WHERE chat_id = ? AND id = ?', chatId, id));
}

/** As it stands, with whether it woke the agent and whether a prompt holds it. */
export function findMessage(
  store: Store,
  chatId: ChatId,
  id: string,
): (StoredMessage & { wakes: boolean; isPrompted: boolean }) | undefined {
  const sql = `SELECT ${asJson}, wakes, prompt_uuid IS NOT NULL OR handled_at IS NOT NULL AS isPrompted
    FROM messages WHERE chat_id = ? AND id = ?`;
  const row = store.get<{ message: string; wakes: number; isPrompted: number }>(sql, chatId, id);
  if (!row) return undefined;
  const message: StoredMessage = JSON.parse(row.message);
  return { ...message, wakes: Boolean(row.wakes), isPrompted: Boolean(row.isPrompted) };
}

export function editMessage(store: Store, seq: number, text: string, wakes: boolean): void {
  store.run('UPDATE messages SET text = ?, wakes = ? WHERE seq = ?', text, Number(wakes), seq);
}

/** Its identity stays, so that it is not stored again. No prompt will hold it from now on. */
export function emptyMessage(store: Store, seq: number, nowMs: number): void {
  store.run(
    `UPDATE messages SET text = '[deleted]', quote = 'null', attachments = '[]',
       handled_at = iif(prompt_uuid IS NULL, coalesce(handled_at, ?), handled_at) WHERE seq = ?`,
    ...[nowMs, seq],
  );
}

/** Lets context beyond the newest `keep` go, and counts it. */
export function trimContext(store: Store, chatId: ChatId, keep: number, nowMs: number): void {
  const { changes } = store.run(
    `UPDATE messages SET handled_at = ? WHERE seq IN (
       SELECT seq FROM messages WHERE ${unclaimed} AND wakes = 0
       ORDER BY seq DESC LIMIT -1 OFFSET ?)`,
    ...[nowMs, chatId, keep],
  );
  store.run('UPDATE chats SET omitted = omitted + ? WHERE id = ?', changes, chatId);
}

/** Context messages left out since this was last asked. */
export function takeOmittedCount(store: Store, chatId: ChatId): number {
  const sql = 'SELECT omitted FROM chats WHERE id = ?';
  const omitted = store.get<{ omitted: number }>(sql, chatId)?.omitted ?? 0;
  store.run('UPDATE chats SET omitted = 0 WHERE id = ?', chatId);
  return omitted;
}

/** Whether a message that wakes the agent waits for a turn. */
export function hasUnclaimed(store: Store, chatId: ChatId): boolean {
  const sql = `SELECT 1 FROM messages WHERE ${unclaimed} AND wakes = 1 LIMIT 1`;
  return Boolean(store.get(sql, chatId));
}

/** Claims the oldest messages that wake the agent, and the context before them. */
export function claimMessages(store: Store, chatId: ChatId, turnId: number, most: number): void {
  store.run(
    `UPDATE messages SET turn_id = ? WHERE ${unclaimed} AND seq <= (
       SELECT max(seq) FROM (
         SELECT seq FROM messages WHERE ${unclaimed} AND wakes = 1 ORDER BY seq LIMIT ?))`,
    ...[turnId, chatId, chatId, most],
  );
}

/**
 * Takes the turn's oldest messages that are in no prompt into this one, as many as fit into
 * `textMax` UTF-16 units but at least one.
 */
export function assignPrompt(
  store: Store,
  turnId: number,
  uuid: string,
  textMax: number,
): StoredMessage[] {
  const inNoPrompt = `${openInTurn} AND prompt_uuid IS NULL`;
  const sql = `SELECT ${asJson} FROM messages WHERE ${inNoPrompt} ORDER BY seq`;
  let length = 0;
  const fitting = store
    .all<{ message: string }>(sql, turnId)
    .map(({ message }): StoredMessage => JSON.parse(message))
    .filter(({ text, quote }, index) => {
      length += text.length + (quote?.text.length ?? 0);
      return index === 0 || length <= textMax;
    });
  store.run(
    `UPDATE messages SET prompt_uuid = ? WHERE ${inNoPrompt} AND seq <= ?`,
    ...[uuid, turnId, fitting.at(-1)?.seq ?? 0],
  );
  return fitting;
}

/** Returns what it handled: the turn's open messages in these prompts. */
export function handlePrompts(
  store: Store,
  turnId: number,
  uuids: string[],
  nowMs: number,
): { seq: number; messageId: string; senderId: string; text: string; wakes: number }[] {
  const sql = `UPDATE messages SET handled_at = ?
    WHERE ${openInTurn} AND prompt_uuid IN (SELECT value FROM json_each(?))
    RETURNING seq, id AS messageId, sender_id AS senderId, text, wakes`;
  return store.all(sql, nowMs, turnId, JSON.stringify(uuids));
}

export function hasOpenMessages(store: Store, turnId: number): boolean {
  return Boolean(store.get(`SELECT 1 FROM messages WHERE ${openInTurn} LIMIT 1`, turnId));
}

/** Leaves a turn's open messages to a new prompt of it, to the next turn, or to nobody. */
export function settleMessages(
  store: Store,
  turnId: number,
  fate: 'again' | 'release' | 'close',
  nowMs: number,
): void {
  store.run(
    `UPDATE messages SET prompt_uuid = NULL, turn_id = ?, handled_at = ? WHERE ${openInTurn}`,
    ...[fate === 'release' ? null : turnId, fate === 'close' ? nowMs : null, turnId],
  );
}
