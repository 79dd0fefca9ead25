/** Removes what has ended and outlived its use. What is open is never touched. */
import { retention } from '../config.ts';
import type { Store } from '../db.ts';

/** The oldest, per table: a call stays short however much there is. */
const rowsPerCall = 10_000;

export function removeExpired(store: Store, nowMs: number): void {
  const remove = (table: string, endedAt: string, keepMs: number) =>
    store.run(
      `DELETE FROM ${table} WHERE rowid IN (
         SELECT rowid FROM (SELECT rowid, ${endedAt} FROM ${table} ORDER BY rowid LIMIT ?)
         WHERE ${endedAt} < ?)`,
      ...[rowsPerCall, nowMs - keepMs],
    );
  remove('messages', 'handled_at', retention.messagesMs);
  remove('turns', 'ended_at', retention.turnsMs);
  remove('runs', 'ended_at', retention.turnsMs);
  remove('outbox', 'ended_at', retention.outboxMs);
}
