/**
 * Removes folders that an agent has filled, however deep, large or closed they are. A folder is
 * moved aside at once, and another process deletes it: the host neither waits for it nor fails with
 * it.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';

type Host = Pick<Base, 'config' | 'log'>;

/** Moves the folder aside; does not wait until it is deleted. Never throws; a failure is logged. */
export function removeFolder(dir: string, { config, log }: Host): void {
  if (!existsSync(dir)) return;
  const failed = (err: unknown) => log.error({ err, dir }, 'a folder was not removed');
  const aside = join(config.trashDir, randomUUID());
  try {
    renameSync(dir, aside);
    // An agent can take permissions away, so they are given back first. Links are not followed.
    spawn('nice', ['sh', '-c', 'chmod -R u+rwX "$0"; rm -rf "$0"', aside], { stdio: 'ignore' })
      .once('error', failed)
      .once('exit', (code) => code !== 0 && failed(code))
      .unref();
  } catch (error) {
    failed(error);
  }
}

/** Deletes what an earlier host had moved aside. */
export function emptyTrash(host: Host): void {
  const { trashDir } = host.config;
  for (const name of readdirSync(trashDir)) removeFolder(join(trashDir, name), host);
}
