/**
 * Bounds what an agent puts on the disk, which no mount does. Another process counts, so that
 * the host stays awake; what is deleted but still open only shows in the disk's free bytes.
 */
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import type { Base } from './base.ts';
import type { Limits } from './config.ts';

type Host = Pick<Base, 'clock' | 'config' | 'limits'>;
type Usage = Awaited<ReturnType<typeof measure>>;

/**
 * Looks at the folders, and of those that are ours also into them, until they are too full or the
 * returned function is called. Who began beyond a bound, to clean up, may pass it by a twentieth.
 */
export function watchFolders(
  folders: string[],
  host: Host,
  full: (detail: string) => void,
): () => void {
  const { clock, limits } = host;
  const stopped = new AbortController();
  let cancel = () => {};
  let first: Usage | undefined;
  const look = async () => {
    const usage = await measure(folders, host, stopped.signal);
    if (stopped.signal.aborted) return;
    first ??= usage;
    const detail = excess(usage, first, limits);
    if (detail) full(detail);
    else cancel = clock.after(limits.folderCheckMs, () => void look());
  };
  void look();
  return () => {
    cancel();
    stopped.abort();
  };
}

/** Infinite where it cannot be counted in time. Rejects never. */
async function measure(folders: string[], { config, limits }: Host, signal: AbortSignal) {
  const ours = folders.filter((folder) => folder.startsWith(`${config.homeDir}/`));
  const count = (unit: string) =>
    new Promise<number>((resolve) => {
      const args = ['-n', '19', 'du', '-sxP', unit, ...ours];
      const options = { signal, timeout: limits.folderLookTimeoutMs };
      execFile('nice', args, options, (error, stdout) => {
        // A number: it has met what vanished or is closed to it, and counted the rest.
        const isCounted = !error || typeof error.code === 'number';
        const counts = isCounted ? (stdout.match(/^\d+/gm) ?? []).map(Number) : [Infinity];
        resolve(counts.reduce((sum, each) => sum + each, 0));
      });
    });
  const free = folders.map((folder) =>
    statfs(folder).then(
      ({ bavail, bsize }) => bavail * bsize,
      () => Infinity,
    ),
  );
  return {
    bytes: (await count('-k')) * 1024,
    // Only GNU's du counts them.
    files: process.platform === 'linux' ? await count('--inodes') : 0,
    freeBytes: Math.min(...(await Promise.all(free))),
  };
}

function excess(usage: Usage, first: Usage, limits: Limits): string | undefined {
  const { folderBytesMax, folderFilesMax, diskFreeBytesMin } = limits;
  const exceeds = (now: number, before: number, max: number) =>
    now > Math.max(max, before + max / 20);
  if (exceeds(usage.bytes, first.bytes, folderBytesMax))
    return `my files take more than ${inGibibytes(folderBytesMax)}`;
  if (exceeds(usage.files, first.files, folderFilesMax))
    return `I have more than ${folderFilesMax} files`;
  if (usage.freeBytes < Math.min(diskFreeBytesMin, first.freeBytes - diskFreeBytesMin / 20))
    return `this machine's disk has less than ${inGibibytes(diskFreeBytesMin)} left`;
  return undefined;
}

function inGibibytes(bytes: number): string {
  return `${bytes / 1024 ** 3} GiB`;
}
