/**
 * Finds and ends the processes of containers that have no engine to ask. Each carries its
 * container's name in the environment it was started with, so even what outlived a killed host
 * is found. Refuses to touch a process without that mark.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The environment variable that names the container. */
export const markName = 'NANOCLAW_CONTAINER';

/** The mark comes first; an environment can be large. */
const environmentBytesMax = 1024;
const killRoundsMax = 100;
const killRoundMs = 20;

/**
 * Kills every process whose container's name passes `chosen`, until none is left.
 * Resolves to the names found; rejects when they cannot be killed within two seconds.
 */
export async function killMarked(chosen: (name: string) => boolean): Promise<Set<string>> {
  const names = new Set<string>();
  for (let round = 1; round <= killRoundsMax; round += 1) {
    const marked = listMarked().filter(({ name }) => chosen(name));
    if (marked.length === 0) return names;
    for (const { pid, name } of marked) {
      names.add(name);
      kill(pid);
    }
    await sleep(killRoundMs);
  }
  throw new Error(`Containers do not end: ${[...names].join(', ')}`);
}

/**
 * Closes the files that whoever started this process left open in it. A container would inherit
 * them; all that Node opens itself is closed on exec.
 */
export function closeInherited(): void {
  const closedOnExec = 0o2000000; // O_CLOEXEC
  for (const entry of readdirSync('/proc/self/fd')) {
    const fd = Number(entry);
    if (fd <= 2) continue;
    try {
      const flags = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
      if (flags !== undefined && (Number.parseInt(flags, 8) & closedOnExec) === 0) closeSync(fd);
    } catch {
      // The one by which the folder was listed: it is closed already.
    }
  }
}

function listMarked(): { pid: number; name: string }[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      const name = markOf(entry);
      return name === undefined ? [] : [{ pid: Number(entry), name }];
    });
}

function markOf(pid: string): string | undefined {
  const bytes = Buffer.alloc(environmentBytesMax);
  try {
    const fd = openSync(`/proc/${pid}/environ`, 'r');
    try {
      const length = readSync(fd, bytes);
      const variables = bytes.toString('latin1', 0, length).split('\0');
      return variables.find((line) => line.startsWith(`${markName}=`))?.slice(markName.length + 1);
    } finally {
      closeSync(fd);
    }
  } catch {
    // It has ended, or is another user's.
    return undefined;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
