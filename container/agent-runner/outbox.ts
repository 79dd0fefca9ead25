/**
 * The agent's voice: numbered files in the out folder, each whole or absent, in order.
 * Never writes what the host would refuse: texts are cut to the limits of the protocol.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { numberedFileName, type OutFile } from '../../src/protocol.ts';

export class Outbox {
  readonly #dir: string;
  #written = 0;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** On disk when it returns, but for progress, which may be lost. Throws when the disk is full. */
  write(file: OutFile): void {
    const path = join(this.#dir, numberedFileName(this.#written + 1));
    const descriptor = openSync(`${path}.tmp`, 'w', 0o644);
    try {
      writeSync(descriptor, JSON.stringify(file, wellFormed));
      if (file.kind !== 'progress') fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(`${path}.tmp`, path);
    this.#written += 1;
  }
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
