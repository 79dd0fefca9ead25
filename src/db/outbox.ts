/** Queries about the outbox: messages on their way out, in order per chat. */
import type { Store } from '../db.ts';
import type { ChatId, OutboundMessage } from '../types.ts';

export function saveOutbound(
  store: Store,
  message: OutboundMessage,
  turnId: number | null,
  nowMs: number,
): void {
  const { id, chatId, text, file, quote } = message;
  store.run(
    `INSERT INTO outbox (id, chat_id, turn_id, text, file, quote, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ...[id, chatId, turnId, text, JSON.stringify(file), JSON.stringify(quote), nowMs],
  );
}

export function findNextPending(store: Store, chatId: ChatId): OutboundMessage | undefined {
  const row = store.get<Record<'id' | 'text' | 'file' | 'quote', string>>(
    `SELECT id, text, file, quote FROM outbox
     WHERE chat_id = ? AND state = 'pending' ORDER BY seq LIMIT 1`,
    chatId,
  );
  return row && { ...row, chatId, file: JSON.parse(row.file), quote: JSON.parse(row.quote) };
}

export function listPendingChats(store: Store): ChatId[] {
  return store
    .all<{ chatId: ChatId }>(
      `SELECT DISTINCT chat_id AS chatId FROM outbox WHERE state = 'pending'`,
    )
    .map(({ chatId }) => chatId);
}

/** Delivered, or refused for a reason. */
export function endOutbound(store: Store, id: string, refusal: string | null, nowMs: number): void {
  store.run(
    'UPDATE outbox SET state = ?, reason = ?, ended_at = ? WHERE id = ?',
    ...[refusal === null ? 'delivered' : 'refused', refusal, nowMs, id],
  );
}

/** What a turn has already said, oldest first. */
export function listTextsOfTurn(store: Store, turnId: number): string[] {
  return store
    .all<{ text: string }>('SELECT text FROM outbox WHERE turn_id = ? ORDER BY seq', turnId)
    .map(({ text }) => text);
}

/** Whether the host's copy of a file is still to be sent. */
export function isFilePending(store: Store, path: string): boolean {
  const sql = `SELECT 1 FROM outbox WHERE state = 'pending' AND file ->> '$.path' = ?`;
  return Boolean(store.get(sql, path));
}
