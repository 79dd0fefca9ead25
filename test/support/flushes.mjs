/**
 * Preloaded into a host (node --import), or imported by a test. Counts the commits that SQLite
 * flushes, and notes beside each database how far it is on the disk, for power-cut.ts. It sees what
 * SQLite was told (`PRAGMA synchronous`), not the disk: the benchmark counts the system calls.
 */
import { closeSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';

/** Of a -shm file: the header with salts and size of the log, twice, then how much was moved on. */
const headerBytes = 48;
const movedOnAt = 2 * headerBytes;

/** Follows a connection: its level, its last commit, and how many flushes it has made. */
function watch(database) {
  let isFull = true;
  let header = '';
  let movedOn = 0;
  let count = 0;
  const look = () => {
    const path = database.location();
    const index = !database.isTransaction && path && readIndex(`${path}-shm`);
    if (!index) return;
    const before = { header, movedOn };
    header = index.subarray(0, headerBytes).toString('base64');
    movedOn = index.readUInt32LE(movedOnAt);
    // SQLite flushes the log before it moves pages from there into the database.
    const isMoved = movedOn > 0 && movedOn !== before.movedOn;
    if (!isMoved && !(isFull && header !== before.header)) return;
    count += 1;
    writeFileSync(`${path}-flushed.tmp`, JSON.stringify({ count, header }));
    renameSync(`${path}-flushed.tmp`, `${path}-flushed`);
  };
  follow(database, 'exec', (_result, sql) => {
    const level = /PRAGMA synchronous = (\w+)/.exec(sql)?.[1];
    if (level) isFull = level === 'FULL';
    look();
  });
  follow(database, 'prepare', (statement) => {
    for (const name of ['run', 'get', 'all']) follow(statement, name, look);
  });
}

/** Calls `after` with the result and the argument of each call of the method. */
function follow(object, name, after) {
  const original = object[name];
  const value = function (...args) {
    const result = original.apply(this, args);
    after(result, args[0]);
    return result;
  };
  Object.defineProperty(object, name, { value, configurable: true });
}

function readIndex(path) {
  const bytes = Buffer.alloc(movedOnAt + 4);
  try {
    const file = openSync(path);
    readSync(file, bytes);
    closeSync(file);
    return bytes;
  } catch {
    return undefined; // ENOENT: it has no log yet, or none any more.
  }
}

// The methods of SQLite's classes are sealed: only the connections themselves can be followed.
const { construct } = Reflect;
Reflect.construct = (target, ...rest) => {
  const made = construct(target, ...rest);
  if (target.name === 'DatabaseSync') watch(made);
  return made;
};
