/**
 * Looks into a SQLite file of the host, or changes it, while the host may be running. It knows no
 * table and runs no migration, so what a test reads does not depend on the product's own queries.
 */
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite';

const busyTimeoutMs = 5000;

/** The rows of one query; their type is the caller's word. Throws when there is no such file. */
export function queryRows<Row = unknown>(path: string, sql: string): Row[] {
  return withDatabase(path, (database) => database.prepare(sql).all() as Row[]);
}

/** Runs statements whose rows, if any, are not wanted. Throws when there is no such file. */
export function runSql(path: string, sql: string): void {
  withDatabase(path, (database) => database.exec(sql));
}

function withDatabase<Result>(
  path: string,
  work: (database: DatabaseSyncInstance) => Result,
): Result {
  // A plain path would create the file.
  const database = new DatabaseSync(`file:${path}?mode=rw`, { timeout: busyTimeoutMs });
  try {
    return work(database);
  } finally {
    database.close();
  }
}
