/**
 * Limits what an agent puts on the disk, because no mount does. A process of its own counts, so
 * that the event loop stays free. Files that are deleted but still open show only in the disk's
 * free bytes.
 */
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import type { Base } from '../base.ts';

type Host = Pick<Base, 'clock' | 'config' | 'limits'>;

/**
 * Watches folders until the returned function is called, and calls `full` for each limit that is
 * passed. Folders that the owner lent are not counted. A run that starts above a limit may grow by
 * 5 %, so that the agent can still clean up.
 */
export function watchFolders(
  folders: string[],
  { clock, config, limits }: Host,
  full: (detail: string) => void,
): () => void {
  const { folderBytesMax, folderFilesMax, diskFreeBytesMin } = limits;
  const ours = folders.filter((folder) => folder.startsWith(`${config.homeDir}/`));
  const stopped = new AbortController();
  const { signal } = stopped;
  const cancels = new Map<string, () => void>();
  const count = (unit: string) =>
    diskUsage(ours, unit, { signal, timeout: limits.folderLookTimeoutMs });
  const bound = async (
    measure: () => Promise<number>,
    max: number,
    words: string,
    first?: number,
  ) => {
    const amount = await measure();
    if (signal.aborted) return;
    const before = first ?? amount;
    if (amount > Math.max(max, before + Math.abs(max) / 20)) return full(words);
    const again = () => void bound(measure, max, words, before);
    cancels.set(words, clock.after(limits.folderCheckMs, again));
  };
  const gibibytes = (bytes: number) => `${bytes / 1024 ** 3} GiB`;
  // Separate measurements: the last is quick, however many files there are.
  void bound(
    async () => (await count('-k')) * 1024,
    folderBytesMax,
    `my files take more than ${gibibytes(folderBytesMax)}`,
  );
  // Only GNU's `du` counts files.
  if (process.platform === 'linux')
    void bound(() => count('--inodes'), folderFilesMax, `I have more than ${folderFilesMax} files`);
  void bound(
    async () => -(await freeBytes(folders)),
    -diskFreeBytesMin,
    `this machine's disk has less than ${gibibytes(diskFreeBytesMin)} left`,
  );
  return () => {
    stopped.abort();
    for (const cancel of cancels.values()) cancel();
  };
}

/** What `du` counts in the folders; Infinity when it cannot be counted in time. Never rejects. */
export function diskUsage(
  folders: string[],
  unit: string,
  options: { signal: AbortSignal; timeout: number },
) {
  const args = ['-n', '10', 'du', '-sxP', unit, ...folders];
  return new Promise<number>((resolve) =>
    execFile(
      'nice',
      args,
      { ...options, env: { ...process.env, LC_ALL: 'C' } },
      (error, stdout, stderr) => {
        // `du` also fails when a file vanishes meanwhile. A folder that it may not read can hold anything.
        if ((error && typeof error.code !== 'number') || /denied/i.test(stderr)) resolve(Infinity);
        resolve((stdout.match(/^\d+/gm) ?? []).reduce((sum, each) => sum + Number(each), 0));
      },
    ),
  );
}

/** On the disk that has least. Never rejects. */
export async function freeBytes(folders: string[]): Promise<number> {
  const disks = await Promise.allSettled(folders.map((folder) => statfs(folder)));
  const found = disks.flatMap((disk) => (disk.status === 'fulfilled' ? [disk.value] : []));
  return Math.min(...found.map(({ bavail, bsize }) => bavail * bsize));
}
