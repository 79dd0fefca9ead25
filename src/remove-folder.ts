/**
 * Removes folders that an agent has filled, however deep, large or closed they are. They are put
 * aside at once and another process does the rest: the host neither waits for it nor fails by it.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';

type Host = Pick<Base, 'config' | 'log'>;

/** The folder has gone when this returns, unless that failed, which is logged. Never throws. */
export function removeFolder(dir: string, host: Host): void {
  if (!existsSync(dir)) return;
  attempt(host, () => {
    const aside = join(trashOf(host), randomUUID());
    renameSync(dir, aside);
    remove([aside], host);
  });
}

/** Goes on with what a dead host had put aside. Never throws. */
export function emptyTrash(host: Host): void {
  attempt(host, () => {
    const trash = trashOf(host);
    const left = readdirSync(trash).map((name) => join(trash, name));
    if (left.length > 0) remove(left, host);
  });
}

function attempt({ log }: Host, work: () => void): void {
  try {
    work();
  } catch (error) {
    log.error({ err: error }, 'a folder could not be removed');
  }
}

function trashOf({ config }: Host): string {
  const trash = join(config.dataDir, 'trash');
  mkdirSync(trash, { recursive: true, mode: 0o700 });
  return trash;
}

function remove(paths: string[], { log }: Host): void {
  // What is closed to its owner is opened first; links are not followed.
  const script = 'chmod -R u+rwX -- "$@"; rm -rf -- "$@"';
  const failed = (problem: unknown) => log.error({ problem, paths }, 'a folder was not removed');
  spawn('nice', ['-n', '10', 'sh', '-c', script, 'sh', ...paths], { stdio: 'ignore' })
    .once('error', failed)
    .once('exit', (code, signal) => code !== 0 && failed(code ?? signal))
    .unref();
}
