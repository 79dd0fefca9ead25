/** Queries for the ledger of the hosts that agents reached. */
import type { Store } from '../db.ts';

/** Traffic is counted by day (in the host's time zone), group, turn (0 outside of any) and host. */
export interface LedgerKey {
  day: string;
  folder: string;
  turnId: number;
  host: string;
  allowed: boolean;
}

export interface Traffic {
  requests: number;
  bytesUp: number;
  bytesDown: number;
}

export function addToLedger(store: Store, key: LedgerKey, traffic: Traffic, nowMs: number): void {
  store.run(
    `INSERT INTO ledger (day, folder, turn_id, host, allowed,
       requests, bytes_up, bytes_down, first_at, last_at)
     VALUES (:day, :folder, :turnId, :host, :allowed,
       :requests, :bytesUp, :bytesDown, :nowMs, :nowMs)
     ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
       bytes_up = bytes_up + excluded.bytes_up, bytes_down = bytes_down + excluded.bytes_down,
       last_at = excluded.last_at`,
    { ...key, ...traffic, nowMs },
  );
}

export interface LedgerLine extends Traffic {
  folder: string;
  host: string;
  allowed: boolean;
  lastAtMs: number;
}

/** The traffic of a day by group and host, first where the most was sent. */
export function listLedger(store: Store, day: string): LedgerLine[] {
  const rows = store.all<Omit<LedgerLine, 'allowed'> & { allowed: number }>(
    `SELECT folder, host, allowed, sum(requests) AS requests, sum(bytes_up) AS bytesUp,
       sum(bytes_down) AS bytesDown, max(last_at) AS lastAtMs
     FROM ledger WHERE day = :day GROUP BY folder, host, allowed
     ORDER BY bytesUp DESC, bytesDown DESC, requests DESC, host`,
    { day },
  );
  return rows.map((row) => ({ ...row, allowed: row.allowed === 1 }));
}
