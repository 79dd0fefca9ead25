/**
 * Counts with strace how often programs flush the disk. A traced program is slow, so nothing is
 * timed meanwhile.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const calls = 'trace=fsync,fdatasync,sync_file_range,sync,syncfs';
const attachedPollMs = 20;

/** Undefined where programs can be traced. */
export function whyNotTraced(): string | undefined {
  const trial = spawnSync('strace', ['-e', calls, 'true'], { encoding: 'utf8' });
  return trial.status === 0 ? undefined : `no strace: ${trial.error?.message ?? trial.stderr}`;
}

/**
 * Resolves to the flushes during `work` by the process, its descendants, and all processes that see
 * `dir` as a mount, which are those in its containers.
 */
export async function countFlushes(pid: number, dir: string, work: () => Promise<void>) {
  const outDir = mkdtempSync(join(tmpdir(), 'nanoclaw-flushes-'));
  const out = join(outDir, 'calls');
  const traced = processesOf(pid, dir);
  const which = traced.flatMap((each) => ['-p', String(each)]);
  const args = ['-f', '-qq', '-e', 'signal=none', '-e', calls, '-o', out, ...which];
  const tracer = spawn('strace', args, { stdio: 'ignore' });
  const exited = once(tracer, 'exit');
  try {
    while (traced.some((each) => fieldOf(each, 'TracerPid') === 0)) await sleep(attachedPollMs);
    await work();
  } finally {
    tracer.kill('SIGINT');
    await exited;
  }
  const lines = readFileSync(out, 'utf8').split('\n');
  rmSync(outDir, { recursive: true });
  // A call that another thread interrupts has a second line, without the bracket.
  return lines.filter((line) => /^\d+ +\w+\(/.test(line)).length;
}

function processesOf(pid: number, dir: string): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  const isBelow = (each: number): boolean =>
    each === pid || (each > 1 && isBelow(fieldOf(each, 'PPid') ?? 0));
  // A mount is told by its path within its file system, which may begin below `/tmp`.
  const end = dir.split('/').slice(-2).join('/');
  return pids.filter((each) => isBelow(each) || readProc(each, 'mountinfo').includes(end));
}

/** Undefined when the process has ended. */
function fieldOf(pid: number, name: 'PPid' | 'TracerPid'): number | undefined {
  const value = new RegExp(`^${name}:\\s+(\\d+)$`, 'm').exec(readProc(pid, 'status'))?.[1];
  return value === undefined ? undefined : Number(value);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // ENOENT, ESRCH: it has ended.
  }
}
