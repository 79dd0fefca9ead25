/** A host that is killed and started again, with the terminals of people who attach each time. */
import { setTimeout as delay } from 'node:timers/promises';
import { HostProcess } from './host-process.ts';
import { cutPower } from './power-cut.ts';
import { chance } from './storm.ts';
import type { TestTerminal } from './terminal.ts';

export class StormHost {
  readonly #environment: Record<string, string>;
  readonly #terminals: TestTerminal[];
  readonly #program: { program?: string };
  readonly #random = chance();
  #process: HostProcess | undefined;

  /** `program` stands in for `npm start`. */
  constructor(
    environment: Record<string, string>,
    terminals: TestTerminal[],
    program: { program?: string } = {},
  ) {
    this.#environment = environment;
    this.#terminals = terminals;
    this.#program = program;
  }

  /** Resolves when all terminals are attached, or when the host has died at the step `killAt`. */
  async start(killAt?: string): Promise<void> {
    const host = new HostProcess(this.#environment, {
      ...this.#program,
      followFlushes: true,
      ...(killAt && { killAt }),
    });
    this.#process = host;
    try {
      await host.says(/^state /m);
      for (const terminal of this.#terminals) await terminal.connect();
    } catch (cause) {
      if (killAt === undefined) throw new Error(`no host to attach to: ${host.output}`, { cause });
      await host.exited; // It has died at its step.
    }
  }

  /** Waits up to 60 s. Resolves to 1 when the host dies at its step, otherwise to 0. */
  async diesBySelf(): Promise<number> {
    const host = this.#process;
    if (!host) return 0;
    await Promise.race([host.exited, delay(60_000)]);
    if (!host.isAlive) return host.child.signalCode === 'SIGKILL' ? 1 : 0;
    await host.kill();
    return 0;
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** Once the host is dead, makes it the death of the machine. */
  cutPower(): void {
    cutPower(this.#environment.NANOCLAW_HOME ?? '', this.#random);
  }

  async stop(): Promise<void> {
    await this.#process?.kill('SIGTERM');
  }
}
