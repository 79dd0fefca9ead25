/**
 * Bounds what an agent puts on the disk, which no mount does. Another process counts, so the host
 * stays awake; what is deleted but still open shows only in the disk's free bytes.
 */
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import type { Base } from '../base.ts';

type Host = Pick<Base, 'clock' | 'config' | 'limits'>;

/**
 * Watches folders, counting those that are not the owner's, and tells of each bound that is passed
 * until the returned function is called. Who began beyond one, to clean up, may add a twentieth.
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
    countIn(ours, unit, { signal, timeout: limits.folderLookTimeoutMs });
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
  // Apart, since the last is quick, however many files there are.
  void bound(
    async () => (await count('-k')) * 1024,
    folderBytesMax,
    `my files take more than ${gibibytes(folderBytesMax)}`,
  );
  // Only GNU's du counts them.
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

/** Infinite when it cannot be counted in time. Never rejects. */
function countIn(
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
        // An exit status may say that something vanished meanwhile; what is closed may hold anything.
        if ((error && typeof error.code !== 'number') || /denied/i.test(stderr)) resolve(Infinity);
        resolve((stdout.match(/^\d+/gm) ?? []).reduce((sum, each) => sum + Number(each), 0));
      },
    ),
  );
}

/** Of the disk that has least. Never rejects. */
async function freeBytes(folders: string[]): Promise<number> {
  const disks = await Promise.allSettled(folders.map((folder) => statfs(folder)));
  const found = disks.flatMap((disk) => (disk.status === 'fulfilled' ? [disk.value] : []));
  return Math.min(...found.map(({ bavail, bsize }) => bavail * bsize));
}
