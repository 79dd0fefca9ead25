/** The hourly sweep: removes rows and files that ended long ago. Never touches what is open. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from '../../base.ts';
import { every } from '../../clock.ts';
import { retention } from '../../config.ts';
import { isFilePending } from '../../db/outbox.ts';
import type { Expiry, Feature } from '../../feature.ts';
import { keepReserve } from '../../reserve.ts';

/** The core's own; other features add theirs. */
const ofTheCore: Expiry[] = [
  { table: 'messages', endedAt: 'handled_at', keepMs: retention.messagesMs },
  { table: 'turns', endedAt: 'ended_at', keepMs: retention.turnsMs },
  { table: 'runs', endedAt: 'ended_at', keepMs: retention.turnsMs },
  { table: 'outbox', endedAt: 'ended_at', keepMs: retention.outboxMs },
  { table: 'ledger', endedAt: 'last_at', keepMs: retention.turnsMs },
  { table: 'approvals', endedAt: 'ended_at', keepMs: retention.turnsMs },
  { table: 'notices', endedAt: 'told_at', keepMs: retention.noticesMs },
];

export const housekeeping: Feature = {
  name: 'housekeeping',
  migrations: [],
  create: (host) => {
    let stop = () => {};
    const sweep = () => {
      removeExpired(host, host.retention());
      removeSentFiles(host);
      keepReserve(host.config.storeDir, host.limits);
    };
    return {
      retention: ofTheCore,
      start: () => {
        stop = every(host, retention.sweepEveryMs, sweep);
      },
      stop: () => stop(),
    };
  },
};

/** Each sweep looks at only this many of a table's oldest rows, so that it stays short. */
const rowsPerCall = 10_000;

export function removeExpired(
  { store, clock }: Pick<Base, 'store' | 'clock'>,
  expiries: Expiry[],
): void {
  for (const { table, endedAt, keepMs } of expiries)
    store.run(
      `DELETE FROM ${table} WHERE rowid IN (
         SELECT rowid FROM (SELECT rowid, ${endedAt} FROM ${table} ORDER BY rowid LIMIT :rowsPerCall)
         WHERE ${endedAt} < :beforeMs)`,
      { rowsPerCall, beforeMs: clock.now() - keepMs },
    );
}

/** Removes the host's copies of files that agents have sent. */
function removeSentFiles({ config, clock, store }: Base): void {
  for (const name of readdirSync(config.filesDir)) {
    const path = join(config.filesDir, name);
    const isOld = statSync(path).mtimeMs < clock.now() - retention.filesMs;
    if (isOld && !isFilePending(store, path)) rmSync(path);
  }
}
