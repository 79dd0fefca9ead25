/**
 * Finds and ends the processes of containers, by the container's name in the environment that
 * they were started with: even what outlived a killed host is found.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const markName = 'NANOCLAW_CONTAINER';

/** Ours are short; an agent's own processes can have large ones, to slow us down. */
const environmentBytesMax = 1024;
const killRoundsMax = 100;
const killRoundMs = 20;

/**
 * Kills every process of the chosen containers, until none is left.
 * Resolves to the containers' names; rejects when they do not end within two seconds.
 */
export async function killMarked(chosen: (name: string) => boolean): Promise<Set<string>> {
  const names = new Set<string>();
  for (let round = 1; round <= killRoundsMax; round += 1) {
    let found = false;
    for (const pid of readdirSync('/proc').map(Number)) {
      const name = pid > 0 ? containerOf(pid) : undefined;
      if (name === undefined || !chosen(name)) continue;
      found = true;
      names.add(name);
      kill(pid);
    }
    if (!found) return names;
    await sleep(killRoundMs);
  }
  throw new Error(`Containers do not end: ${[...names].join(', ')}`);
}

function containerOf(pid: number): string | undefined {
  const bytes = Buffer.alloc(environmentBytesMax);
  try {
    const fd = openSync(`/proc/${pid}/environ`, 'r');
    const length = readSync(fd, bytes);
    closeSync(fd);
    const variables = bytes.toString('latin1', 0, length).split('\0');
    return variables.find((line) => line.startsWith(`${markName}=`))?.slice(markName.length + 1);
  } catch {
    // It has ended, or is another user's.
    return undefined;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended, or else the next round finds it again.
  }
}

/**
 * Closes the files that whoever started this process left open in it. A container would inherit
 * them; all that Node opens itself is closed on exec.
 */
export function closeInherited(): void {
  const closedOnExec = 0o2000000; // O_CLOEXEC
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd <= 2) continue;
    try {
      const flags = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
      if ((Number.parseInt(flags ?? '', 8) & closedOnExec) === 0) closeSync(fd);
    } catch {
      // The one by which the folder was listed: it is closed already.
    }
  }
}
