/**
 * Makes the death of a host the death of its machine, at its worst: what was not flushed is gone.
 * Needs flushes.mjs in the host.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const flushedSchema = z.object({ count: z.int(), header: z.base64() });
/** See the file format of SQLite, "The Write-Ahead Log" and "The WAL-Index File". */
const logHeaderBytes = 32;
const frameHeaderBytes = 24;
const moveBegunAt = 128;

/** How many commits of a database have been flushed. */
export function countFlushes(path: string): number {
  return readFlushed(path).count;
}

/** Cuts the power of a dead host. `random` decides for each file that has no say in it. */
export function cutPower(home: string, random: (below: number) => number): void {
  for (const name of ['nanoclaw.db', 'whatsapp.db']) cutDatabase(join(home, 'store', name));
  const agentsDir = join(home, 'data', 'agents');
  // It died before the first agent began.
  if (!existsSync(agentsDir)) return;
  for (const path of readdirSync(agentsDir, { recursive: true, encoding: 'utf8' })) {
    if (!/\/run-\d+\/out\/[^/]+\.json$/.test(path)) continue;
    const fate = random(3);
    if (fate === 0) rmSync(join(agentsDir, path));
    if (fate === 1) truncateSync(join(agentsDir, path));
  }
}

/** Takes back the commits of a database, which nobody has open, that were not flushed. */
export function cutDatabase(path: string): void {
  const log = `${path}-wal`;
  const index = `${path}-shm`;
  if (!existsSync(log) || !existsSync(index) || statSync(log).size < logHeaderBytes) return;
  const header = Buffer.from(readFlushed(path).header, 'base64');
  const bytes = readFileSync(log);
  const pageBytes = bytes.readUInt32BE(8);
  const saltsOf = (buffer: Buffer, at: number) => buffer.subarray(at, at + 8).toString('hex');
  // With other salts the log has begun anew, which it does when all of the old is in the database.
  const frames = saltsOf(header, 32) === saltsOf(bytes, 16) ? header.readUInt32LE(16) : 0;
  // It died while it moved pages into the database, and so after a flush.
  if (readFileSync(index).readUInt32LE(moveBegunAt) > frames) return;
  const end = logHeaderBytes + frames * (frameHeaderBytes + pageBytes);
  truncateSync(log, frames > 0 ? Math.min(end, bytes.length) : 0);
  rmSync(index);
}

function readFlushed(path: string) {
  return flushedSchema.parse(JSON.parse(readFileSync(`${path}-flushed`, 'utf8')));
}
