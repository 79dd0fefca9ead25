/**
 * Reads and writes the two folders of numbered files: the host writes `in`, the agent writes `out`.
 * Each file is whole and in order. What a file means is decided elsewhere.
 */
import { existsSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { numberedFileName, writeNumberedFile } from '../../src/numbered-files.ts';
import { type InFile, inFileSchema, type OutFile } from '../../src/protocol.ts';
import { printable } from '../../src/text.ts';

/** Time between sweeps, which find files whose file system event was lost or never sent. */
const sweepEveryMs = 2000;

/**
 * Calls `take` once for each file in `dir`, those that are there and those that arrive. Throws,
 * also from an event, when a file cannot be parsed: without its host, the agent cannot go on.
 */
export function readInbox(dir: string, take: (file: InFile) => void): void {
  let next = 1;
  const drain = () => {
    for (;;) {
      const path = join(dir, numberedFileName(next));
      if (!existsSync(path)) return;
      next += 1;
      take(inFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))));
    }
  };
  watch(dir, drain).on('error', drain);
  setInterval(drain, sweepEveryMs);
  drain();
}

export type Write = (file: OutFile) => void;

/** Returns a function that writes the next file. It throws when the disk is full. */
export function openOutbox(dir: string): Write {
  let written = 0;
  return (file) => {
    writeNumberedFile(dir, written + 1, JSON.stringify(file, shortened));
    written += 1;
  };
}

/** In JSON, control characters and lone surrogates take six bytes each: a file could grow too large. */
function shortened(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? printable(value) : value;
}
