/**
 * Reads the out folder of a run: in order, each file once. The folder decides who speaks, never
 * what a file says. What a file does is not decided here.
 */
import {
  type FSWatcher,
  mkdirSync,
  opendirSync,
  readdirSync,
  rmSync,
  unlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import type { Base } from './base.ts';
import { every } from './clock.ts';
import { saveOutMark } from './db/runs.ts';
import { step } from './log.ts';
import { fileNumber, numberedFileName } from './numbered-files.ts';
import { type InFile, type OutFile, outFileSchema, protocolFileBytesMax } from './protocol.ts';
import { readInside } from './safe-open.ts';
import { clip, fileName, parseJson } from './text.ts';
import type { Agent, RunEndReason } from './types.ts';

/** Between two listings of a folder that cannot be watched. */
const unwatchedLookMs = 1000;

/** Who speaks, and how to answer. */
export interface Speaker {
  runId: number;
  agent: Agent;
  /** Does nothing once the run has ended. */
  send(file: InFile): void;
  kill(reason: RunEndReason, detail: string): void;
  noteAlive(): void;
}

/** What a file does, in the transaction that moves the run's mark. */
export type Commit = () => void;

export interface IpcDependencies extends Base {
  /** Slow work (copying a file) happens here, before the transaction. */
  effectOf(speaker: Speaker, file: OutFile): Promise<Commit>;
}

export class OutReader {
  readonly #deps: IpcDependencies;
  readonly #speaker: Speaker;
  readonly #dir: string;
  #mark: number;
  #pumping: Promise<void> | null = null;
  #again = false;
  #closed = false;
  #refused = 0;
  #watcher: FSWatcher | undefined;
  #cancelWatch = () => {};
  #cancelSweep = () => {};

  constructor(deps: IpcDependencies, speaker: Speaker, dir: string, mark: number) {
    this.#deps = deps;
    this.#speaker = speaker;
    this.#dir = dir;
    this.#mark = mark;
  }

  /** Starts to read. A slow sweep backs up the file system's events, which can be lost. */
  start(): void {
    this.#watch();
    const { outSweepMs } = this.#deps.limits;
    this.#cancelSweep = every(this.#deps, outSweepMs, () => void this.drain());
  }

  /** Resolves when every file that is there now is applied or refused. Never rejects. */
  drain(): Promise<void> {
    this.#again = true;
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = null;
    });
    return this.#pumping;
  }

  /** Stops reading. Nothing is applied from now on. */
  close(): void {
    const { limits, log } = this.#deps;
    if (!this.#closed && this.#refused > limits.quarantineFilesMax)
      log.warn({ run: this.#speaker.runId, refused: this.#refused }, 'refused in all');
    this.#closed = true;
    this.#watcher?.close();
    this.#cancelWatch();
    this.#cancelSweep();
  }

  /**
   * Closes the watcher at its first event and reopens it after outQuietMs, so that an agent cannot
   * flood us.
   */
  #watch(): void {
    const { clock, limits, log } = this.#deps;
    const again = (delayMs: number) => {
      this.#watcher?.close();
      void this.drain();
      this.#cancelWatch();
      this.#cancelWatch = clock.after(delayMs, () => this.#watch());
    };
    this.#watcher?.close();
    try {
      this.#watcher = watch(this.#dir, () => again(limits.outQuietMs));
      this.#watcher.on('error', (error) => log.warn({ err: error }, 'watching failed'));
      void this.drain();
    } catch (error) {
      // The system limits the watches of each user, and an agent may hold them all.
      log.warn({ err: error }, 'watching failed');
      again(unwatchedLookMs);
    }
  }

  async #pump(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        while (await this.#applyListed());
      } catch (error) {
        // The store refused (disk full, say): the file stays and the next sweep tries again.
        this.#deps.log.error({ err: error, run: this.#speaker.runId }, 'an effect failed');
        return;
      }
    }
  }

  /** Applies the files of one listing. True when the next file is there by then. */
  async #applyListed(): Promise<boolean> {
    for (const number of this.#list()) {
      if (number === this.#mark + 1) await this.#apply(number);
      else if (number <= this.#mark) this.#remove(numberedFileName(number));
      await nextTurn();
      if (this.#closed) return false;
    }
    const left = this.#list();
    const next = this.#mark + 1;
    if (left.includes(next)) return true;
    // The runner writes in order, so a listing that shows a file shows all files before it. What a
    // second listing shows beyond a gap was not written by the runner.
    for (const number of left.filter((number) => number > next))
      this.#refuse(numberedFileName(number), `out of order: ${next} was expected`);
    return false;
  }

  /** The numbers of the files that are there, ascending. Refuses files of any other name. */
  #list(): number[] {
    const numbers: number[] = [];
    // One character per byte, so that a name that is not UTF-8 still leads to its file.
    const dir = opendirSync(this.#dir, { encoding: 'latin1' });
    for (let seen = 0; seen < this.#deps.limits.outFilesPerSweep; seen += 1) {
      const entry = dir.readSync();
      if (!entry) break;
      const number = fileNumber(entry.name);
      // A folder is skipped, because it can be removed safely only with the whole run.
      if (entry.isDirectory() || entry.name.endsWith('.tmp')) continue;
      if (number !== undefined) numbers.push(number);
      else this.#refuse(entry.name, 'not a numbered file');
    }
    dir.closeSync();
    return numbers.sort((left, right) => left - right);
  }

  async #apply(number: number): Promise<void> {
    const { store, log } = this.#deps;
    const { runId: run } = this.#speaker;
    const name = numberedFileName(number);
    this.#speaker.noteAlive();
    const file = this.#read(name);
    const isRefused = typeof file === 'function';
    const commit = isRefused ? file : await this.#deps.effectOf(this.#speaker, file);
    if (this.#closed) return;
    const work = () => {
      store.afterCommit(() => {
        this.#mark = number;
        step(log, 'effect-committed', { run, number });
        this.#remove(name);
        step(log, 'effect-unlinked', { run, number });
      });
      commit();
      saveOutMark(store, run, number);
    };
    // With the machine dies the run, and with it the use of its mark.
    store.transaction(work, { flush: !isRefused && file.kind !== 'progress' });
  }

  #read(name: string): OutFile | Commit {
    let parsed: unknown;
    try {
      const bytes = readInside(this.#dir, name, { bytesMax: protocolFileBytesMax });
      parsed = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      return this.#refuse(name, String(error));
    }
    const file = outFileSchema.safeParse(parsed);
    if (file.success) return file.data;
    return this.#refuse(name, clip(z.prettifyError(file.error), 1000), parsed);
  }

  #refuse(name: string, problem: string, content?: unknown): Commit {
    const { runId, agent } = this.#speaker;
    const { store } = this.#deps;
    this.#refused += 1;
    // Only the first of a run, because an agent can make any number of them.
    if (this.#refused <= this.#deps.limits.quarantineFilesMax) {
      this.#deps.log.warn({ run: runId, agent: agent.id, name, problem }, 'refused');
      this.#quarantine(name);
    }
    this.#remove(name);
    const asked = z.object({ requestId: z.string().max(100) }).safeParse(content);
    const answer = { kind: 'response', ok: false, text: `Refused: ${problem}` } as const;
    if (!asked.success) return () => {};
    const { requestId } = asked.data;
    return () => store.afterCommit(() => this.#speaker.send({ ...answer, requestId }));
  }

  #quarantine(name: string): void {
    const { limits, config, clock, log } = this.#deps;
    const dir = join(config.dataDir, 'quarantine', this.#speaker.agent.id);
    try {
      const bytes = readInside(this.#dir, name, { bytesMax: protocolFileBytesMax });
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      for (const old of readdirSync(dir)
        .sort()
        .slice(0, 1 - limits.quarantineFilesMax))
        rmSync(join(dir, old));
      const keptName = `${clock.now()}-${fileName(name, 80)}`;
      writeFileSync(join(dir, keptName), bytes.subarray(0, limits.quarantineFileBytesMax));
    } catch (error) {
      // A link, a FIFO, a socket or a file that is too large. The log has its name.
      log.debug({ err: error, name }, 'not kept in quarantine');
    }
  }

  #remove(name: string): void {
    try {
      unlinkSync(Buffer.concat([Buffer.from(`${this.#dir}/`), Buffer.from(name, 'latin1')]));
    } catch {
      // It is gone already, or the next listing finds it again.
    }
  }
}
