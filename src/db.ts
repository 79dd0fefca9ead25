/**
 * The store: opens and migrates a SQLite database, and runs transactions in it. The queries are in
 * db/, one file for each subject.
 */
import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  DatabaseSync,
  type DatabaseSyncInstance,
  type EnhancedDatabaseSync,
  enhance,
  type StatementSyncInstance,
} from '@photostructure/sqlite';
import { migrations as coreMigrations } from './db/migrations.ts';
import { releaseReserve } from './reserve.ts';
import { UserError } from './types.ts';

/** Values of named parameters. A boolean is stored as 0 or 1; a parameter without a value is NULL. */
type Values = Record<string, string | number | boolean | null | Uint8Array>;

/** Entry n of `migrations` upgrades the tables of `name` from version n to n + 1. */
interface Versioned {
  name: string;
  migrations: readonly string[];
}

/** Whether SQLite found no room on the disk (SQLITE_FULL). */
function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'sqliteCode' in error && error.sqliteCode === 13;
}

export class Store {
  readonly #db: EnhancedDatabaseSync<DatabaseSyncInstance>;
  readonly #statements = new Map<string, StatementSyncInstance>();
  readonly #broken: (error: Error) => void;
  readonly #version: number;
  readonly #dir: string;
  #depth = 0;
  #following: (() => void)[] = [];
  /** Whether the open transaction, or one inside it, must be on the disk when it has committed. */
  #mustFlush = false;
  #flushing: Promise<void> | undefined;

  /**
   * Opens or creates the database and migrates the tables of the core and of each feature. A commit
   * is on disk when it returns. Throws UserError if a newer version has written the store.
   */
  constructor(
    path: string,
    migrations: readonly string[] = coreMigrations,
    features: readonly Versioned[] = [],
    broken = (error: Error): void => {
      throw error;
    },
  ) {
    this.#broken = broken;
    this.#version = migrations.length;
    this.#dir = dirname(path);
    this.#db = enhance(new DatabaseSync(path));
    // The folder is closed to others, but a copy of the file may be in one that is not.
    chmodSync(path, 0o600);
    this.#db.exec(`PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;`);
    this.transaction(() => this.#migrate(migrations, features));
  }

  /**
   * Runs `work` in a transaction and returns its result. Inside another transaction it is a
   * savepoint: if `work` throws, only its own changes are undone. Throws what `work` throws, and
   * AggregateError if a callback of `afterCommit` throws. With the disk full, `work` runs again once
   * the reserve is released.
   *
   * `flush: false` is for what may be lost with the machine: it survives the death of this process,
   * and the next flush takes it to the disk. It has no effect if a transaction around this one or
   * inside it flushes.
   */
  transaction<Result>(work: () => Result, { flush = true } = {}): Result {
    if (this.#depth > 0) return this.#transact(work, flush);
    const result = this.#withReserve(() => this.#transact(work, flush));
    if (this.#mustFlush && !flush) this.#flush();
    this.#follow();
    return result;
  }

  #transact<Result>(work: () => Result, flush: boolean): Result {
    const before = this.#following.length;
    const isOutermost = this.#depth === 0;
    this.#mustFlush = flush || (this.#mustFlush && !isOutermost);
    // SQLite cannot change this within a transaction.
    if (isOutermost && !flush) this.#db.exec('PRAGMA synchronous = NORMAL');
    this.#depth += 1;
    try {
      return this.#db.transaction(work).immediate();
    } catch (error) {
      this.#following.length = before;
      throw error;
    } finally {
      this.#depth -= 1;
      if (isOutermost && !flush) this.#db.exec('PRAGMA synchronous = FULL');
    }
  }

  #withReserve<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (this.#depth > 0 || !isDiskFull(error) || !releaseReserve(this.#dir)) throw error;
      return work();
    }
  }

  /**
   * Resolves when all that is committed now is on the disk. Calls in one turn of the event loop
   * share a flush.
   */
  flushed(): Promise<void> {
    this.#flushing ??= nextTurn().then(() => {
      this.#flushing = undefined;
      this.#flush();
    });
    return this.#flushing;
  }

  /** A flushed commit takes all earlier ones along; this one changes nothing. */
  #flush(): void {
    this.#withReserve(() => this.#db.exec(`PRAGMA user_version = ${this.#version}`));
  }

  /** A callback that throws does not stop the others. */
  #follow(): void {
    const errors: unknown[] = [];
    for (const follow of this.#following.splice(0))
      try {
        follow();
      } catch (error) {
        errors.push(error);
      }
    if (errors.length > 0) this.#broken(new AggregateError(errors, 'what follows a commit failed'));
  }

  /**
   * Calls `follow` after the outermost transaction has committed, and not at all if it is undone.
   * Outside a transaction it is called at once.
   */
  afterCommit(follow: () => void): void {
    if (this.#depth > 0) this.#following.push(follow);
    else follow();
  }

  /** Runs `work` while no other process can write. Only for the start, before any traffic. */
  async exclusive<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      return await work();
    } finally {
      this.#db.exec('ROLLBACK');
    }
  }

  /** `id` is the rowid of the last inserted row. */
  run(sql: string, values: Values = {}): { changes: number; id: number } {
    const statement = this.#prepare(sql);
    const { changes, lastInsertRowid } = this.#withReserve(() => statement.run(values));
    return { changes: Number(changes), id: Number(lastInsertRowid) };
  }

  /** The first row. Its type is not checked: tables are STRICT and the SQL is ours. */
  get<Row>(sql: string, values: Values = {}): Row | undefined {
    return this.#prepare(sql).get(values) as Row | undefined;
  }

  all<Row>(sql: string, values: Values = {}): Row[] {
    return this.#prepare(sql).all(values) as Row[];
  }

  close(): void {
    this.#db.close();
  }

  #prepare(sql: string): StatementSyncInstance {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** Each feature counts its own versions, so that two of them never claim the same number. */
  #migrate(migrations: readonly string[], features: readonly Versioned[]): void {
    const known = this.get<{ user_version: number }>('PRAGMA user_version');
    this.#advance({ name: 'the core', migrations }, known?.user_version ?? 0);
    this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
    if (new Set(features.map(({ name }) => name)).size < features.length)
      throw new Error('two features have the same name');
    for (const feature of features) {
      const { name, migrations } = feature;
      const sql = 'SELECT version FROM feature_versions WHERE feature = :name';
      this.#advance(feature, this.get<{ version: number }>(sql, { name })?.version ?? 0);
      this.run('INSERT OR REPLACE INTO feature_versions VALUES (:name, :version)', {
        name,
        version: migrations.length,
      });
    }
  }

  #advance({ name, migrations }: Versioned, version: number): void {
    if (version > migrations.length)
      throw new UserError(
        `The store is of version ${version} of ${name}: update NanoClaw to read it.`,
      );
    for (const migration of migrations.slice(version)) this.#db.exec(migration);
  }
}
