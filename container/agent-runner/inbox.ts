/**
 * The host's voice: takes the files of the in folder strictly by number, once each.
 * Deletes nothing (the folder is read-only here) and does not know what a file means.
 */
import { readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { type InFile, inFileSchema, numberedFileName } from '../../src/protocol.ts';

/** Backs up the file system's events, which may be lost or absent. */
const sweepEveryMs = 2000;

/**
 * Takes what lies there, then what comes, for as long as the process lives. Throws, later
 * from an event, when a file cannot be used: a host that is not understood is no host.
 */
export function readInbox(dir: string, take: (file: InFile) => void): void {
  let next = 1;
  const drain = () => {
    for (let file = readFile(dir, next); file; file = readFile(dir, next)) {
      next += 1;
      take(file);
    }
  };
  watch(dir, drain).on('error', drain);
  setInterval(drain, sweepEveryMs);
  drain();
}

function readFile(dir: string, number: number): InFile | undefined {
  let text: string;
  try {
    text = readFileSync(join(dir, numberedFileName(number)), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return inFileSchema.parse(JSON.parse(text));
}
