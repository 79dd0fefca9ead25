/**
 * Room on the disk that is kept for the stores. When the disk is full it is released, so that the host
 * still hears and answers commands; it is made again when there is room.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Limits } from './config.ts';

/** Makes the reserve beside the stores in `dir`, if it is missing and there is room for it. */
export function keepReserve(dir: string, limits: Limits): void {
  const path = pathIn(dir);
  const { bavail, bsize } = statfsSync(dir);
  const { diskReserveBytes, diskStartBytesMin } = limits;
  if (existsSync(path) || bavail * bsize < diskStartBytesMin + diskReserveBytes) return;
  // Random bytes, because some file systems keep no room for zeros.
  writeFileSync(path, randomBytes(diskReserveBytes), { mode: 0o600 });
}

/** Returns false if there is none. */
export function releaseReserve(dir: string): boolean {
  const path = pathIn(dir);
  if (!existsSync(path)) return false;
  rmSync(path);
  return true;
}

function pathIn(dir: string): string {
  return join(dir, 'reserve');
}
