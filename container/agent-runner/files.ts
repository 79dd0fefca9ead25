/**
 * Both folders of numbered files: `in` is the host's voice, `out` the agent's. Each file is
 * whole and in order; what it means is not known here.
 */
import { existsSync, readFileSync, renameSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type InFile, inFileSchema, numberedFileName, type OutFile } from '../../src/protocol.ts';

/** Backs up the file system's events, which may be lost or absent. */
const sweepEveryMs = 2000;

/**
 * Takes what lies in `dir`, then what comes, once each. Throws, later from an event, when a
 * file cannot be used: a host that is not understood is no host.
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

/** Files are on disk when the write returns; it throws when the disk is full. */
export function openOutbox(dir: string): Write {
  let written = 0;
  return (file) => {
    const path = join(dir, numberedFileName(written + 1));
    const flush = file.kind !== 'progress'; // Which may be lost.
    writeFileSync(`${path}.tmp`, JSON.stringify(file, wellFormed), { flush });
    renameSync(`${path}.tmp`, path);
    written += 1;
  };
}

/** Control characters and lone surrogates take six bytes each in JSON: too many for the limit. */
function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/[^\P{Cc}\n\t]|\p{Cs}/gu, '\uFFFD') : value;
}

/** At most `max` UTF-16 units; says so when something was cut off. */
export function cut(text: string, max: number): string {
  const mark = ' [cut]';
  return text.length <= max ? text : text.slice(0, max - mark.length) + mark;
}
