/**
 * One set-up at a time in a project folder: a second start waits for the first. The lock is a file
 * with the pids that work under it, and is stale once all of them have ended. So a killed start
 * blocks nobody, and an `npm` that survives it is left to finish.
 */
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { SetupError } from './run.mjs';

const pollMs = 100;
const waitMaxMs = 20 * 60_000;

/**
 * Runs `work` alone. `work` is given a function that adds a child's pid to the lock.
 * @throws {SetupError} when another process still holds the lock after 20 minutes
 */
export async function withLock(projectDir, work) {
  mkdirSync(join(projectDir, 'dist'), { recursive: true });
  const path = join(projectDir, 'dist', 'setup.lock');
  const giveUpAt = Date.now() + waitMaxMs;
  while (!tryAcquire(path)) {
    if (Date.now() > giveUpAt)
      throw new SetupError(`another set-up still runs; if not, remove ${path}`);
    if (isStale(path)) removeStale(path);
    else await wait(pollMs);
  }
  try {
    return await work((pid) => appendFileSync(path, `${pid}\n`));
  } finally {
    rmSync(path, { force: true });
  }
}

/** Links a complete file into place, so that the lock never exists without its pid. */
function tryAcquire(path) {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, `${process.pid}\n`);
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(own);
  }
}

function isStale(path) {
  let content;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return false; // ENOENT: released just now
  }
  return !content.trim().split('\n').map(Number).some(isAlive);
}

/** Two waiters may both find the lock stale. One that moved a fresh lock puts it back. */
function removeStale(path) {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return; // ENOENT: the other waiter was faster
  }
  if (!isStale(aside)) linkSync(aside, path);
  rmSync(aside);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
