/** Messages on their way out, in order per chat. */
import type { Store } from '../db.ts';
import type { ChatId, Delivery, OutboundMessage } from '../types.ts';

export function saveOutbound(
  store: Store,
  { id, chatId, text, file, about, isReaction }: OutboundMessage,
  turnId: number | null,
): void {
  store.run(
    `INSERT INTO outbox (id, chat_id, turn_id, text, file, about, is_reaction)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ...[id, chatId, turnId, text, JSON.stringify(file), JSON.stringify(about), Number(isReaction)],
  );
}

const selectPending = `SELECT json_object('id', id, 'chatId', chat_id, 'text', text,
    'file', json(file), 'about', json(about), 'isReaction',
    json(iif(is_reaction, 'true', 'false'))) AS message
  FROM outbox WHERE chat_id = ? AND state = 'pending'`;

/** The newest, oldest first. */
export function listPending(store: Store, chatId: ChatId, most: number): OutboundMessage[] {
  const rows = store.all<{ message: string }>(
    `${selectPending} ORDER BY seq DESC LIMIT ?`,
    ...[chatId, most],
  );
  return rows.map(({ message }) => JSON.parse(message)).reverse();
}

export function findNextPending(store: Store, chatId: ChatId): OutboundMessage | undefined {
  const row = store.get<{ message: string }>(`${selectPending} ORDER BY seq LIMIT 1`, chatId);
  return row && JSON.parse(row.message);
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
  store.run('UPDATE outbox SET state = ?, ended_at = ? WHERE id = ?', state, nowMs, id);
}

const textsOfTurnMax = 20;
const textOfTurnMax = 2000;

/** The end of what a turn has already said, oldest first, long texts cut. */
export function listTextsOfTurn(store: Store, turnId: number): string[] {
  const rows = store.all<{ text: string }>(
    'SELECT substr(text, 1, ?) AS text FROM outbox WHERE turn_id = ? ORDER BY seq DESC LIMIT ?',
    ...[textOfTurnMax, turnId, textsOfTurnMax],
  );
  return rows.map(({ text }) => text).reverse();
}

export function countOfTurn(store: Store, turnId: number): number {
  const sql = 'SELECT count(*) AS count FROM outbox WHERE turn_id = ?';
  return store.get<{ count: number }>(sql, turnId)?.count ?? 0;
}

/** Of a chat's files that are still to be sent, or were sent since. */
export function sumFileBytes(store: Store, chatId: ChatId, sinceMs: number): number {
  const sql = `SELECT total(file ->> '$.sizeBytes') AS bytes FROM outbox
    WHERE chat_id = ? AND file <> 'null' AND (state = 'pending' OR ended_at > ?)`;
  return store.get<{ bytes: number }>(sql, chatId, sinceMs)?.bytes ?? 0;
}

/** Whether the host's copy of a file is still to be sent. */
export function isFilePending(store: Store, path: string): boolean {
  const sql = `SELECT 1 FROM outbox WHERE state = 'pending' AND file ->> '$.path' = ?`;
  return Boolean(store.get(sql, path));
}
