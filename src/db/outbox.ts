/** Messages on their way out, in order per chat. */
import type { Store } from '../db.ts';
import type { ChatId, Delivery, OutboundMessage } from '../types.ts';

export function saveOutbound(
  store: Store,
  { id, chatId, text, file }: OutboundMessage,
  turnId: number | null,
): void {
  store.run(
    `INSERT INTO outbox (id, chat_id, turn_id, text, file) VALUES (?, ?, ?, ?, ?)`,
    ...[id, chatId, turnId, text, JSON.stringify(file)],
  );
}

export function findNextPending(store: Store, chatId: ChatId): OutboundMessage | undefined {
  const row = store.get<Record<'id' | 'text' | 'file', string>>(
    `SELECT id, text, file FROM outbox
     WHERE chat_id = ? AND state = 'pending' ORDER BY seq LIMIT 1`,
    chatId,
  );
  return row && { ...row, chatId, file: JSON.parse(row.file) };
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

/** What a turn has already said, oldest first. */
export function listTextsOfTurn(store: Store, turnId: number): string[] {
  const sql = 'SELECT text FROM outbox WHERE turn_id = ? ORDER BY seq';
  return store.all<{ text: string }>(sql, turnId).map(({ text }) => text);
}

/** Whether the host's copy of a file is still to be sent. */
export function isFilePending(store: Store, path: string): boolean {
  const sql = `SELECT 1 FROM outbox WHERE state = 'pending' AND file ->> '$.path' = ?`;
  return Boolean(store.get(sql, path));
}
