/**
 * The one way by which the host opens anything in a folder that an agent can write to.
 * Refuses whatever leads out or never ends: links of both kinds, pipes, sockets, devices, and
 * what is too large. What is checked is what was opened, so swapping it meanwhile gains nothing.
 */
import { once } from 'node:events';
import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fchownSync,
  fstatSync,
  fsync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  unlinkSync,
  writeFile,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { UserError } from './types.ts';

/** Why a path was not opened, in words for whoever named it. */
export class Refused extends UserError {}

interface Opened {
  fd: number;
  path: string;
}

/** NONBLOCK: to open a pipe would otherwise wait for its writer. */
const safely = constants.O_NOFOLLOW | constants.O_NONBLOCK;
const pathLengthMax = 4096;

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  EEXIST: 'it exists already',
  ELOOP: 'links are not followed',
  ENOTDIR: 'links are not followed, and only folders lead on',
  ENXIO: 'not a regular file',
  EACCES: 'reading it is not permitted',
  ENAMETOOLONG: 'the name is too long',
};

/** The file's content, at most as long as it was when opened. Throws Refused. */
export function readInside(root: string, path: string, { bytesMax }: { bytesMax: number }): Buffer {
  const { fd, sizeBytes } = openFile(root, path, bytesMax);
  try {
    const bytes = Buffer.alloc(sizeBytes);
    let length = 0;
    for (let got = 1; got > 0 && length < sizeBytes; length += got)
      got = readSync(fd, bytes, length, sizeBytes - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/**
 * Copies a file out to `destination`, which must not exist and lies where no agent writes.
 * Resolves to the bytes copied, which are then on disk. Rejects with Refused.
 */
export async function copyInside(
  root: string,
  path: string,
  destination: string,
  { bytesMax }: { bytesMax: number },
): Promise<number> {
  const { fd, sizeBytes } = openFile(root, path, bytesMax);
  // `end` is inclusive, so an empty file may give the byte it has grown by.
  const from = createReadStream('', { fd, start: 0, end: Math.max(0, sizeBytes - 1) });
  const to = createWriteStream(destination, { flags: 'wx', mode: 0o600, flush: true });
  await pipeline(from, to);
  return to.bytesWritten;
}

interface Creation {
  bytesMax: number;
  timeoutMs: number;
  /** Who owns the file and the folders made for it, where the host is root. */
  uid: number;
}

/**
 * Writes a new file, and the folders on the way. Resolves to its bytes, which are then on disk.
 * On failure nothing is left of the file. Rejects with Refused, or with the source's error.
 */
export async function createInside(
  root: string,
  path: string,
  source: AsyncIterable<Uint8Array>,
  { bytesMax, timeoutMs, uid }: Creation,
): Promise<number> {
  const { folders, name } = split(path);
  const folder = openFolder(root, folders, uid);
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const { fd } = refusing(path, () => openAt(folder, name, flags));
    try {
      own(fd, uid);
      return await pour(source, fd, bytesMax, timeoutMs);
    } catch (error) {
      discard(locate(folder, name));
      throw error;
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(folder.fd);
  }
}

/** Not a stream's pipeline: that waits for a source which stalls, even when it is aborted. */
async function pour(
  source: AsyncIterable<Uint8Array>,
  fd: number,
  bytesMax: number,
  timeoutMs: number,
): Promise<number> {
  const chunks = source[Symbol.asyncIterator]();
  const late = AbortSignal.timeout(timeoutMs);
  const expired = once(late, 'abort').then(() => Promise.reject(late.reason));
  expired.catch(() => {}); // It may come when nobody waits any more.
  let sizeBytes = 0;
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), expired]);
      if (next.done) break;
      sizeBytes += next.value.length;
      if (sizeBytes > bytesMax) throw new Refused(`it has more than ${bytesMax} bytes`);
      await promisify(writeFile)(fd, next.value);
    }
  } finally {
    chunks.return?.().catch(() => {}); // It may stall as well; nobody waits for it.
  }
  await promisify(fsync)(fd);
  return sizeBytes;
}

function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The agent removed or replaced it first.
  }
}

function openFile(root: string, path: string, bytesMax: number): { fd: number; sizeBytes: number } {
  const { folders, name } = split(path);
  const folder = openFolder(root, folders);
  try {
    const { fd } = refusing(path, () => openAt(folder, name, constants.O_RDONLY));
    const stats = fstatSync(fd);
    const problem = problemOf(stats, bytesMax);
    if (problem === undefined) return { fd, sizeBytes: stats.size };
    closeSync(fd);
    throw new Refused(`${path}: ${problem}`);
  } finally {
    closeSync(folder.fd);
  }
}

function problemOf(stats: Stats, bytesMax: number): string | undefined {
  if (!stats.isFile()) return 'not a regular file';
  // A second name could be a file that the agent may link to but not read.
  if (stats.nlink !== 1) return 'has more than one hard link';
  if (stats.size > bytesMax) return `has ${stats.size} bytes, more than ${bytesMax}`;
  return undefined;
}

/** Opens folder after folder. With `makeFor`, makes what is missing and gives it to that uid. */
function openFolder(root: string, names: string[], makeFor?: number): Opened {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY;
  const path = realpathSync(root);
  let folder: Opened = { fd: openSync(path, flags | safely), path };
  for (const name of names) {
    const parent = folder;
    try {
      const made = makeFor !== undefined && refusing(name, () => make(parent, name));
      folder = refusing(name, () => openAt(parent, name, flags));
      if (made) own(folder.fd, makeFor);
    } finally {
      closeSync(parent.fd);
    }
  }
  return folder;
}

function make(parent: Opened, name: string): boolean {
  try {
    mkdirSync(locate(parent, name), 0o755);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

function own(fd: number, uid: number): void {
  if (process.getuid?.() === 0) fchownSync(fd, uid, uid);
}

function openAt(folder: Opened, name: string, flags: number): Opened {
  const fd = openSync(locate(folder, name), flags | safely, 0o644);
  const path = join(folder.path, name);
  if (process.platform !== 'linux') confirm(fd, path);
  return { fd, path };
}

/** On Linux below the opened folder itself, whatever has become of its path meanwhile. */
function locate(folder: Opened, name: string): string {
  return process.platform === 'linux'
    ? `/proc/self/fd/${folder.fd}/${name}`
    : join(folder.path, name);
}

/** Elsewhere a folder can be swapped for a link under us: what was opened must lie at its path. */
function confirm(fd: number, path: string): void {
  const opened = fstatSync(fd);
  const there = lstatSync(path);
  if (opened.ino === there.ino && opened.dev === there.dev && realpathSync(path) === path) return;
  closeSync(fd);
  throw new Refused('it changed while it was opened');
}

/** The parts of a relative path that stays inside. */
function split(path: string): { folders: string[]; name: string } {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  const name = parts.pop();
  const odd = path.startsWith('/') || path.includes('\0') || path.length > pathLengthMax;
  if (odd || name === undefined || name === '..' || parts.includes('..'))
    throw new Refused(`${path.slice(0, 100)}: not a path inside this folder`);
  return { folders: parts, name };
}

function refusing<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const reason = reasons[codeOf(error) ?? ''];
    if (reason === undefined) throw error;
    throw new Refused(`${path}: ${reason}`, { cause: error });
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
