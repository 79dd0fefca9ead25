/** Starts bare-sdk.mjs and talks to it. Measures nothing itself. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import { projectDir } from './measure.ts';

const replySchema = z.object({
  handedAtMs: z.number(),
  repliedAtMs: z.number(),
  result: z.string(),
});
export type BareReply = z.infer<typeof replySchema>;

export class BareSdk {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /** Spawns it with a new working folder and a new home below `dir`. */
  constructor(dir: string, modelUrl: string) {
    const [cwd, home] = [mkdtempSync(join(dir, 'bare-')), mkdtempSync(join(dir, 'home-'))];
    const program = join(projectDir, 'bench/bare-sdk.mjs');
    this.#child = spawn(process.execPath, [program, cwd, home, modelUrl], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Rejects when the process ends without an answer. */
  async ask(text: string): Promise<BareReply> {
    this.#child.stdin.write(`${text}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the bare SDK has left');
    return replySchema.parse(JSON.parse(value));
  }

  /** Ends its input, and so the session. Resolves when the process has exited. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin.end();
    await exited;
  }
}
