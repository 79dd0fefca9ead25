/** What each group may reach of the web. */
import { z } from 'zod';
import { fromJson } from '../../db/json.ts';
import type { Store } from '../../db.ts';

export const webModes = ['open', 'listed', 'none'] as const;
export type WebMode = (typeof webModes)[number];

export interface GroupPolicy {
  mode: WebMode;
  /** Host names, or `*.` and a name for all below it. Only for mode `listed`. */
  hosts: string[];
}

/** Undefined while the group has the default policy. */
export function findGroupPolicy(store: Store, folder: string): GroupPolicy | undefined {
  const sql = 'SELECT mode, hosts FROM web_policies WHERE folder = :folder';
  const row = store.get<{ mode: WebMode; hosts: string }>(sql, { folder });
  return row && { mode: row.mode, hosts: fromJson(z.array(z.string()), row.hosts) };
}

export function saveGroupPolicy(store: Store, folder: string, { mode, hosts }: GroupPolicy): void {
  store.run(
    `INSERT OR REPLACE INTO web_policies (folder, mode, hosts)
     VALUES (:folder, :mode, :hosts)`,
    { folder, mode, hosts: JSON.stringify(hosts) },
  );
}
