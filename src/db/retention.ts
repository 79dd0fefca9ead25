/** Removes what has ended and has outlived its use. Nothing that is open is ever touched. */
import { retention } from '../config.ts';
import type { Store } from '../db.ts';

/** Rows looked at per table and call, the oldest: a call stays short however much there is. */
const rowsPerCall = 10_000;

export function removeExpired(store: Store, nowMs: number): void {
  const remove = (table: string, key: string, endedAt: string, keepMs: number) =>
    store.run(
      `DELETE FROM ${table} WHERE ${key} IN (
         SELECT ${key} FROM (SELECT ${key}, ${endedAt} FROM ${table} ORDER BY ${key} LIMIT ?)
         WHERE ${endedAt} < ?)`,
      rowsPerCall,
      nowMs - keepMs,
    );
  remove('messages', 'seq', 'handled_at', retention.messagesMs);
  remove('turns', 'id', 'ended_at', retention.turnsMs);
  remove('runs', 'id', 'ended_at', retention.turnsMs);
  remove('outbox', 'seq', 'ended_at', retention.outboxMs);
}
