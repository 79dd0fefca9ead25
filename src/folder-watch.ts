/**
 * Bounds what an agent puts on the disk, which no mount does. Another process counts, so the host
 * stays awake; what is deleted but still open shows only in the disk's free bytes.
 */
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import type { Base } from './base.ts';

type Host = Pick<Base, 'clock' | 'config' | 'limits'>;

/**
 * Watches folders, counting those that are not the owner's, until a bound is passed or the
 * returned function is called. Who began beyond one, to clean up, may add a twentieth of it.
 */
export function watchFolders(
  folders: string[],
  host: Host,
  full: (detail: string) => void,
): () => void {
  const stopped = new AbortController();
  let cancel = () => {};
  let first: number[] | undefined;
  const look = async () => {
    const amounts = await measure(folders, host, stopped.signal);
    if (stopped.signal.aborted) return;
    first ??= amounts.map(({ amount }) => amount);
    const over = amounts.find(
      ({ amount, max }, index) =>
        amount > Math.max(max, (first?.[index] ?? 0) + Math.abs(max) / 20),
    );
    if (over) full(over.words);
    else cancel = host.clock.after(host.limits.folderCheckMs, () => void look());
  };
  void look();
  return () => {
    cancel();
    stopped.abort();
  };
}

/** Infinite what cannot be counted in time. Never rejects. */
async function measure(folders: string[], { config, limits }: Host, signal: AbortSignal) {
  const ours = folders.filter((folder) => folder.startsWith(`${config.homeDir}/`));
  const options = { signal, timeout: limits.folderLookTimeoutMs };
  const count = (unit: string) =>
    new Promise<number>((resolve) =>
      execFile('nice', ['-n', '19', 'du', '-sxP', unit, ...ours], options, (error, stdout) => {
        // An exit status says that something vanished or is closed to it; the rest is counted.
        if (error && typeof error.code !== 'number') resolve(Infinity);
        resolve((stdout.match(/^\d+/gm) ?? []).reduce((sum, each) => sum + Number(each), 0));
      }),
    );
  const free = folders.map(async (folder) => {
    const disk = await statfs(folder).catch(() => undefined);
    return disk ? disk.bavail * disk.bsize : Infinity;
  });
  const { folderBytesMax, folderFilesMax, diskFreeBytesMin } = limits;
  return [
    {
      amount: (await count('-k')) * 1024,
      max: folderBytesMax,
      words: `my files take more than ${inGibibytes(folderBytesMax)}`,
    },
    {
      // Only GNU's du counts them.
      amount: process.platform === 'linux' ? await count('--inodes') : 0,
      max: folderFilesMax,
      words: `I have more than ${folderFilesMax} files`,
    },
    {
      amount: -Math.min(...(await Promise.all(free))),
      max: -diskFreeBytesMin,
      words: `this machine's disk has less than ${inGibibytes(diskFreeBytesMin)} left`,
    },
  ];
}

function inGibibytes(bytes: number): string {
  return `${bytes / 1024 ** 3} GiB`;
}
