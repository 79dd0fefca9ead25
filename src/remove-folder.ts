/**
 * Removes folders that an agent has filled, however deep, large or closed they are. They are put
 * aside at once and another process does the rest: the host neither waits for it nor fails by it.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';

type Host = Pick<Base, 'config' | 'log'>;

/** Never throws; a failure is logged. */
export function removeFolder(dir: string, { config, log }: Host): void {
  if (!existsSync(dir)) return;
  const failed = (err: unknown) => log.error({ err, dir }, 'a folder was not removed');
  const aside = join(config.trashDir, randomUUID());
  try {
    renameSync(dir, aside);
    // What is closed to its owner is opened first; links are not followed.
    spawn('nice', ['sh', '-c', 'chmod -R u+rwX "$0"; rm -rf "$0"', aside], { stdio: 'ignore' })
      .once('error', failed)
      .once('exit', (code) => code !== 0 && failed(code))
      .unref();
  } catch (error) {
    failed(error);
  }
}

/** Goes on with what a dead host had put aside. */
export function emptyTrash(host: Host): void {
  const { trashDir } = host.config;
  for (const name of readdirSync(trashDir)) removeFolder(join(trashDir, name), host);
}
