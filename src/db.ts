/** The store: SQLite, migrated, with transactions. The queries stand in db/, by subject. */
import { chmodSync } from 'node:fs';
import {
  DatabaseSync,
  type DatabaseSyncInstance,
  type EnhancedDatabaseSync,
  enhance,
  type StatementSyncInstance,
} from '@photostructure/sqlite';
import { migrations as coreMigrations } from './db/migrations.ts';
import { UserError } from './types.ts';

type SqlValue = string | number | null | Uint8Array;
/** Values for `?` in order, or one object for named parameters. */
type SqlParameters = SqlValue[] | [Record<string, SqlValue>];

export class Store {
  readonly #db: EnhancedDatabaseSync<DatabaseSyncInstance>;
  readonly #statements = new Map<string, StatementSyncInstance>();

  /** Every commit is on the disk when it returns. Throws UserError for a newer version's store. */
  constructor(path: string, migrations = coreMigrations) {
    this.#db = enhance(new DatabaseSync(path));
    // The folder is closed to others; a copy of the file may lie in one that is not.
    chmodSync(path, 0o600);
    this.#db.exec(`PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;`);
    this.transaction(() => this.#migrate(migrations));
  }

  /** Joins the transaction that is open, if any. Throws what `work` throws. */
  transaction<Result>(work: () => Result): Result {
    return this.#db.transaction(work).immediate();
  }

  /** Keeps other processes from writing meanwhile. Only for the start, before any traffic. */
  async exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      return await work();
    } finally {
      this.#db.exec('ROLLBACK');
    }
  }

  /** `id` is that of the last row inserted. */
  run(sql: string, ...values: SqlParameters): { changes: number; id: number } {
    const { changes, lastInsertRowid } = this.#prepare(sql).run(...values);
    return { changes: Number(changes), id: Number(lastInsertRowid) };
  }

  /** The row's type is the caller's word: tables are STRICT and the SQL is ours. */
  get<Row>(sql: string, ...values: SqlParameters): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined;
  }

  all<Row>(sql: string, ...values: SqlParameters): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  close(): void {
    this.#db.close();
  }

  #prepare(sql: string): StatementSyncInstance {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #migrate(migrations: readonly string[]): void {
    const version = this.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0;
    if (version > migrations.length)
      throw new UserError(`The store is of version ${version}: update NanoClaw to read it.`);
    for (const migration of migrations.slice(version)) this.#db.exec(migration);
    this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
  }
}
