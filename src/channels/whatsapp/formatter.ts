/**
 * Has texts formatted in a thread of its own, so that none holds up the host. The shortest goes
 * first: what the host says waits for one text at most. A text that takes too long, or that cannot
 * be formatted, is only cut.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ChannelContext } from '../../base.ts';
import { deferred } from '../../deferred.ts';
import { splitText } from '../../format.ts';

/** For one text, from when the thread is ready. The longest ordinary ones take a tenth of it. */
const deadlineMs = 1000;
const resourceLimits = { maxOldGenerationSizeMb: 256 };

type Context = Pick<ChannelContext, 'config' | 'clock' | 'log'>;

export class Formatter {
  readonly #context: Context;
  readonly #max: number;
  /** One of each chat and lane at most. */
  readonly #waiting: { text: string; resolve(pieces: string[]): void }[] = [];
  #isBusy = false;
  #worker: Worker | undefined;

  /** For messages of at most `max` UTF-16 units. */
  constructor(context: Context, max: number) {
    this.#context = context;
    this.#max = max;
  }

  /** The text as WhatsApp is to show it, in messages. Never rejects. */
  layOut(text: string): Promise<string[]> {
    const { promise, resolve } = deferred<string[]>();
    this.#waiting.push({ text, resolve });
    this.#waiting.sort((a, b) => a.text.length - b.text.length);
    if (!this.#isBusy) void this.#formatAll();
    return promise;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  async #formatAll(): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift())
      next.resolve(await this.#format(next.text));
    this.#isBusy = false;
  }

  async #format(text: string): Promise<string[]> {
    const { clock, log } = this.#context;
    const deadline = new AbortController();
    let cancel = () => {};
    try {
      this.#worker ??= await this.#start();
      cancel = clock.after(deadlineMs, () => deadline.abort());
      this.#worker.postMessage({ text, max: this.#max });
      const [pieces] = await once(this.#worker, 'message', deadline);
      return pieces;
    } catch (error) {
      log.warn({ err: error, length: text.length }, 'a text is sent without formatting');
      await this.#worker?.terminate();
      this.#worker = undefined;
      return splitText(text, this.#max);
    } finally {
      cancel();
    }
  }

  async #start(): Promise<Worker> {
    const file = join(this.#context.config.projectDir, 'dist', 'whatsapp-format.js');
    const worker = new Worker(file, { resourceLimits });
    worker.unref();
    // Without a listener, an error after the deadline would end the host.
    worker.on('error', () => {});
    await once(worker, 'message');
    return worker;
  }
}
