/**
 * The store: opens SQLite, migrates it, and offers transactions. What is asked of it stands
 * in db/, one file per subject, with columns named as the domain types name them.
 */
import {
  DatabaseSync,
  type DatabaseSyncInstance,
  type StatementSyncInstance,
} from '@photostructure/sqlite';
import { migrations } from './db/migrations.ts';
import { UserError } from './types.ts';

type SqlValue = string | number | null;

export class Store {
  readonly #db: DatabaseSyncInstance;
  readonly #statements = new Map<string, StatementSyncInstance>();
  #inTransaction = false;

  /**
   * Opens and migrates; a commit is on the disk when it returns (WAL, full sync).
   * Throws UserError for a store of a newer version.
   */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec(`PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;`);
    this.transaction(() => this.#migrate());
  }

  /** Runs `work` in one transaction, or joins the one that is open. Throws what `work` throws. */
  transaction<Result>(work: () => Result): Result {
    if (this.#inTransaction) return work();
    this.#db.exec('BEGIN IMMEDIATE');
    this.#inTransaction = true;
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Keeps other processes from writing while `work` runs. Only for the start, before any traffic. */
  async exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      return await work();
    } finally {
      this.#db.exec('ROLLBACK');
    }
  }

  /** Rows changed, and the id of the last one that was inserted. */
  run(sql: string, ...values: SqlValue[]): { changes: number; id: number } {
    const { changes, lastInsertRowid } = this.#prepare(sql).run(...values);
    return { changes: Number(changes), id: Number(lastInsertRowid) };
  }

  /** The first row. Its type is the caller's word: tables are STRICT and the SQL is ours. */
  get<Row>(sql: string, ...values: SqlValue[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined;
  }

  all<Row>(sql: string, ...values: SqlValue[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  close(): void {
    this.#db.close();
  }

  #prepare(sql: string): StatementSyncInstance {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #migrate(): void {
    const version = this.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0;
    if (version > migrations.length)
      throw new UserError(`The store is of version ${version}: update NanoClaw to read it.`);
    for (const migration of migrations.slice(version)) this.#db.exec(migration);
    this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
  }
}
