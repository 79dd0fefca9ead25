/** What the owner was told unasked, kept so that it is not repeated too soon. */
import type { Store } from '../db.ts';

export function saveNotice(
  store: Store,
  notice: { key: string; topic: string; nowMs: number },
): void {
  store.run(
    'INSERT OR REPLACE INTO notices (key, topic, told_at) VALUES (:key, :topic, :nowMs)',
    notice,
  );
}

export function countNotices(store: Store, topic: string, sinceMs: number): number {
  const sql = 'SELECT count(*) AS count FROM notices WHERE topic = :topic AND told_at > :sinceMs';
  return store.get<{ count: number }>(sql, { topic, sinceMs })?.count ?? 0;
}

export function hasNotice(store: Store, key: string, sinceMs: number): boolean {
  const sql = 'SELECT 1 FROM notices WHERE key = :key AND told_at > :sinceMs';
  return Boolean(store.get(sql, { key, sinceMs }));
}

export function deleteNotice(store: Store, key: string): void {
  store.run('DELETE FROM notices WHERE key = :key', { key });
}
