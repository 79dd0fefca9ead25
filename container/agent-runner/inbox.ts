/**
 * The host's voice: takes the files of the in folder strictly by number, once each.
 * Deletes nothing (the folder is read-only here) and does not know what a file means.
 */
import { readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { type InFile, inFileSchema, numberedFileName } from '../../src/protocol.ts';

/** Backs up the file system's events, which may be lost or absent. */
const sweepEveryMs = 2000;

export class Inbox {
  readonly #dir: string;
  readonly #take: (file: InFile) => void;
  #next = 1;

  constructor(dir: string, take: (file: InFile) => void) {
    this.#dir = dir;
    this.#take = take;
  }

  /** Takes what lies there, then what comes, for as long as the process lives. */
  start(): void {
    const drain = () => this.#drain();
    watch(this.#dir, drain).on('error', drain);
    setInterval(drain, sweepEveryMs);
    drain();
  }

  /** A file that cannot be used throws, and so ends the process: the host would never know. */
  #drain(): void {
    for (let file = this.#read(); file; file = this.#read()) {
      this.#next += 1;
      this.#take(file);
    }
  }

  #read(): InFile | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.#dir, numberedFileName(this.#next)), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    return inFileSchema.parse(JSON.parse(text));
  }
}
