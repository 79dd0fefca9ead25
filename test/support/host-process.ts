/** The host as a process of its own, started as `npm start` starts it, so that a test can kill it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { dirname, join } from 'node:path';

const startProgram = join(dirname(dirname(import.meta.dirname)), 'scripts/start.mjs');

interface HostProcessOptions {
  killAt?: string;
  args?: string[];
  input?: string;
  program?: string;
  followFlushes?: boolean;
}

export class HostProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  output = '';
  readonly #said = new EventEmitter();

  /**
   * Has no terminal. `args` makes it a command; `killAt` names the step at which it kills itself;
   * `program` stands in for `npm start`, and can be sent messages; `followFlushes` is for
   * power-cut.ts.
   */
  constructor(
    environment: Record<string, string>,
    { killAt, args = [], input, program, followFlushes }: HostProcessOptions = {},
  ) {
    const preloads = [
      ...(killAt ? ['kill-at-step.mjs'] : []),
      ...(followFlushes ? ['flushes.mjs'] : []),
    ];
    const preload = preloads.flatMap((name) => ['--import', join(import.meta.dirname, name)]);
    this.child = spawn(process.execPath, [...preload, program ?? startProgram, ...args], {
      env: { ...runtimeEnvironment(), ...environment, ...(killAt && { KILL_AT: killAt }) },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', program ? 'ipc' : 'ignore'],
    });
    this.child.stdin?.end(input);
    this.exited = once(this.child, 'exit');
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (bytes) => {
        this.output += String(bytes);
        this.#said.emit('said');
      });
  }

  /** Waits until its output matches. Rejects when it exits before that. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found) return found;
      if (!this.isAlive) throw new Error(`it ended without ${pattern}: ${this.output}`);
      await Promise.race([once(this.#said, 'said'), this.exited]);
    }
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.child.kill(signal);
    await this.exited;
  }
}

/** The variables that name the container runtime and say how to reach it. */
function runtimeEnvironment(): Record<string, string> {
  const names =
    /^(PATH|DOCKER_HOST|CONTAINERS_CONF|CONTAINERS_STORAGE_CONF|NANOCLAW_(RUNTIME|IMAGE_BASE))$/;
  const env: Record<string, string> = { NANOCLAW_RUNTIME: 'bubblewrap' };
  for (const [name, value] of Object.entries(process.env))
    if (value !== undefined && names.test(name)) env[name] = value;
  return env;
}
