/** The hourly sweep: what has ended and outlived its use is removed, what is open is never touched. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';
import { every } from './clock.ts';
import { retention } from './config.ts';
import { isFilePending } from './db/outbox.ts';

/** Sweeps now and then again and again; returns the way to stop. */
export function sweepRegularly(base: Base): () => void {
  return every(base.clock, retention.sweepEveryMs, () => {
    try {
      removeExpired(base);
      removeSentFiles(base);
    } catch (error) {
      base.log.error({ err: error }, 'the sweep failed');
    }
  });
}

/** The oldest, per table: a call stays short however much there is. */
const rowsPerCall = 10_000;

export function removeExpired({ store, clock }: Pick<Base, 'store' | 'clock'>): void {
  const remove = (table: string, endedAt: string, keepMs: number) =>
    store.run(
      `DELETE FROM ${table} WHERE rowid IN (
         SELECT rowid FROM (SELECT rowid, ${endedAt} FROM ${table} ORDER BY rowid LIMIT ?)
         WHERE ${endedAt} < ?)`,
      ...[rowsPerCall, clock.now() - keepMs],
    );
  remove('messages', 'handled_at', retention.messagesMs);
  remove('turns', 'ended_at', retention.turnsMs);
  remove('runs', 'ended_at', retention.turnsMs);
  remove('outbox', 'ended_at', retention.outboxMs);
  remove('ledger', 'last_at', retention.turnsMs);
}

/** The host's copies of files that agents have sent. */
function removeSentFiles({ config, clock, store }: Base): void {
  const dir = join(config.dataDir, 'files');
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const isOld = statSync(path).mtimeMs < clock.now() - retention.filesMs;
    if (isOld && !isFilePending(store, path)) rmSync(path);
  }
}
