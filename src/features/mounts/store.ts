/** Folders of the host that are lent to groups. */
import type { Store } from '../../db.ts';

export interface ExtraMount {
  folder: string;
  /** Below /workspace/extra. */
  name: string;
  source: string;
  readOnly: boolean;
}

export function listExtraMounts(store: Store): ExtraMount[] {
  const sql = 'SELECT folder, name, source, read_only AS readOnly FROM extra_mounts ORDER BY 1, 2';
  return store.all<ExtraMount>(sql).map((row) => ({ ...row, readOnly: Boolean(row.readOnly) }));
}

export function saveExtraMount(store: Store, mount: ExtraMount): void {
  store.run(
    `INSERT INTO extra_mounts (folder, name, source, read_only)
     VALUES (:folder, :name, :source, :readOnly)`,
    { ...mount },
  );
}

/** Returns false if there was none. */
export function deleteExtraMount(store: Store, folder: string, name: string): boolean {
  const sql = 'DELETE FROM extra_mounts WHERE folder = :folder AND name = :name';
  return store.run(sql, { folder, name }).changes > 0;
}
