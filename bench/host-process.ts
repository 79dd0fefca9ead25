/** The host as a process of its own, started as `npm start` starts it, and its figures in /proc. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectDir } from './measure.ts';

/** The unit of CPU time in /proc (USER_HZ), the same on every Linux that Node supports. */
const ticksPerSecond = 100;
const startTimeoutMs = 60_000;
const settlingRounds = 3;
const settlingMs = 1000;

export class MeasuredHost {
  readonly socketPath: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, homeDir: string) {
    this.#child = child;
    this.socketPath = join(homeDir, 'data/nanoclaw.sock');
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /**
   * Starts a service without input on a state folder, whose containers are of the named runtime.
   * Resolves when the host reports that it is up.
   */
  static async start(
    homeDir: string,
    modelUrl: string,
    runtimeName: string,
    environment: Record<string, string> = {},
  ): Promise<MeasuredHost> {
    const programs = ['bench/collect-garbage.mjs', 'scripts/start.mjs'];
    const [preload = '', start = ''] = programs.map((program) => join(projectDir, program));
    const child = spawn(process.execPath, ['--import', preload, start], {
      env: {
        ...engineEnvironment(),
        ...environment,
        PATH: process.env.PATH,
        NANOCLAW_RUNTIME: runtimeName,
        NANOCLAW_HOME: homeDir,
        ANTHROPIC_API_KEY: 'bench',
        ANTHROPIC_BASE_URL: modelUrl,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    process.once('exit', () => child.kill());
    const timer = setTimeout(() => child.kill('SIGKILL'), startTimeoutMs);
    let said = '';
    for await (const text of child.stderr
      .setEncoding('utf8')
      .iterator({ destroyOnReturn: false })) {
      said += text;
      if (!said.includes(homeDir)) continue;
      clearTimeout(timer);
      child.stderr.resume();
      return new MeasuredHost(child, homeDir);
    }
    clearTimeout(timer);
    throw new Error(`the host did not start: ${said}`);
  }

  /** Resident memory in MB (10^6 bytes), of this process alone. */
  rssMb(): number {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(this.#proc('status'))?.[1];
    return (Number(kib) * 1024) / 1e6;
  }

  /** The same after several rounds of garbage collection. */
  async settledRssMb(): Promise<number> {
    for (let round = 0; round < settlingRounds; round += 1) {
      this.#child.kill('SIGUSR2');
      await sleep(settlingMs);
    }
    return this.rssMb();
  }

  /** The CPU time that the process uses over `overMs`, in percent of one core. */
  async idleCpuPercent(overMs: number): Promise<number> {
    const before = this.#cpuTicks();
    await sleep(overMs);
    return (((this.#cpuTicks() - before) / ticksPerSecond) * 1000 * 100) / overMs;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }

  /** User and system time: fields 14 and 15 of proc(5), counted from the name in brackets on. */
  #cpuTicks(): number {
    const fields = this.#proc('stat')
      .replace(/^.*\) /s, '')
      .split(' ');
    return Number(fields[11]) + Number(fields[12]);
  }

  #proc(file: string): string {
    return readFileSync(`/proc/${this.#child.pid}/${file}`, 'utf8');
  }
}

/** The variables that tell how to reach the engines. */
function engineEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env))
    if (value && /^(HOME|XDG_|DOCKER_|CONTAINER|NANOCLAW_IMAGE_BASE$)/.test(key))
      environment[key] = value;
  return environment;
}
