/**
 * Finds and kills the processes of bubblewrap's containers, by the container's name in the
 * environment that they were started with. So it also finds those that outlived their host.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const markName = 'NANOCLAW_CONTAINER';

/** What the host starts has a short environment. An agent could make large ones to slow us down. */
const environmentBytesMax = 1024;
const killRoundsMax = 100;
const killRoundMs = 20;

/**
 * Kills every process of the chosen containers until none is left. Resolves to the containers'
 * names. Rejects when processes are left after two seconds.
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
    return undefined; // ENOENT, ESRCH, EACCES: it has ended, or is another user's
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ESRCH: it has ended. In every other case the next round finds it again.
  }
}

/**
 * Closes the files that this process inherited, because a container would inherit them too. Those
 * that Node opened itself are closed on exec.
 */
export function closeInherited(): void {
  const closedOnExec = 0o2000000; // O_CLOEXEC
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd <= 2) continue;
    try {
      const flags = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
      if ((Number.parseInt(flags ?? '', 8) & closedOnExec) === 0) closeSync(fd);
    } catch {
      // ENOENT: the descriptor with which the folder was listed is closed by now.
    }
  }
}
