/** What each group may reach of the web, and the ledger of what its agent did reach. */
import type { Store } from '../db.ts';

export type WebMode = 'open' | 'listed' | 'none';

export interface WebPolicy {
  mode: WebMode;
  /** Names, or `*.` and a name for all below it. Only for `listed`. */
  hosts: string[];
}

/** Undefined for a group that keeps to the default. */
export function findWebPolicy(store: Store, folder: string): WebPolicy | undefined {
  const row = store.get<{ mode: WebMode; hosts: string }>(
    'SELECT mode, hosts FROM web_policies WHERE folder = ?',
    folder,
  );
  return row && { mode: row.mode, hosts: JSON.parse(row.hosts) };
}

export function saveWebPolicy(store: Store, folder: string, { mode, hosts }: WebPolicy): void {
  store.run(
    'INSERT OR REPLACE INTO web_policies (folder, mode, hosts) VALUES (?, ?, ?)',
    ...[folder, mode, JSON.stringify(hosts)],
  );
}

/** Of one host, in one turn (0: outside of any), on one day of the host's own time zone. */
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
  const { requests, bytesUp, bytesDown } = traffic;
  store.run(
    `INSERT INTO ledger (day, folder, turn_id, host, allowed,
       requests, bytes_up, bytes_down, first_at, last_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
       bytes_up = bytes_up + excluded.bytes_up, bytes_down = bytes_down + excluded.bytes_down,
       last_at = excluded.last_at`,
    ...[key.day, key.folder, key.turnId, key.host, Number(key.allowed)],
    ...[requests, bytesUp, bytesDown, nowMs, nowMs],
  );
}

export interface LedgerLine extends Traffic {
  folder: string;
  host: string;
  allowed: boolean;
  lastAtMs: number;
}

/** The day by group and host; the most sent first. */
export function listLedger(store: Store, day: string): LedgerLine[] {
  const rows = store.all<LedgerLine>(
    `SELECT folder, host, allowed, sum(requests) AS requests, sum(bytes_up) AS bytesUp,
       sum(bytes_down) AS bytesDown, max(last_at) AS lastAtMs
     FROM ledger WHERE day = ? GROUP BY folder, host, allowed
     ORDER BY bytesUp + bytesDown DESC, requests DESC, host`,
    day,
  );
  return rows.map((row) => ({ ...row, allowed: Boolean(row.allowed) }));
}
