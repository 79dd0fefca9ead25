/**
 * The only way in which the host opens anything in a folder that an agent can write to. Refuses
 * paths that lead out and whatever is no regular file. Checks what it has opened, so that replacing
 * a file meanwhile gains nothing.
 */
import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fchownSync,
  fstatSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  unlinkSync,
  writeFile,
  writeFileSync,
} from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { clip } from './text.ts';
import { UserError } from './types.ts';

/** Why a path was not opened, in words for whoever named it. */
export class Refused extends UserError {}

interface Folder {
  fd: number;
  path: string;
}

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const isLinux = process.platform === 'linux';
/** On macOS O_NOFOLLOW_ANY of sys/fcntl.h: no link anywhere in the path. */
const noFollow = isLinux ? O_NOFOLLOW : 0x20000000;
/** NONBLOCK, because opening a pipe would otherwise wait for its writer. */
const safely = noFollow | O_NONBLOCK;
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

/** The file's `first` bytes, up to the size that it had when it was opened. Throws Refused. */
export function readInside(
  root: string,
  path: string,
  { bytesMax, first = bytesMax }: { bytesMax: number; first?: number },
): Buffer {
  const { fd, sizeBytes } = openFile(root, path, bytesMax);
  try {
    const bytes = Buffer.alloc(Math.min(sizeBytes, first));
    return bytes.subarray(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

/**
 * Copies a file to `destination`, which must not exist and must be where no agent can write.
 * Resolves to its size in bytes once it is on disk. Rejects with Refused.
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
  /** The owner of the file and of the folders made for it, where the host is root. */
  uid: number;
  /** Called before so many bytes are written. Rejects if there is no room for them. */
  admit?(bytes: number): Promise<void>;
}

/**
 * Writes a new file, and makes the folders on its path. Resolves to its size in bytes once it is on
 * disk. Leaves no file on failure. Rejects with Refused, or with the source's error.
 */
export async function createInside(
  root: string,
  path: string,
  source: Readable,
  { timeoutMs, uid, ...bounds }: Creation,
): Promise<number> {
  // `pour` throws the error as well. This is for a source that fails before it is read.
  source.on('error', () => {});
  const late = setTimeout(() => source.destroy(new Refused('it took too long')), timeoutMs);
  try {
    const { fd, folder, target } = openBelow(root, path, O_WRONLY | O_CREAT | O_EXCL, uid);
    try {
      own(fd, uid);
      return await pour(source, fd, bounds);
    } catch (error) {
      discard(target);
      throw error;
    } finally {
      closeSync(fd);
      closeSync(folder.fd);
    }
  } finally {
    clearTimeout(late);
    source.destroy();
  }
}

async function pour(
  source: Readable,
  fd: number,
  { bytesMax, admit }: Pick<Creation, 'bytesMax' | 'admit'>,
): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of source) {
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) throw new Refused(`it has more than ${bytesMax} bytes`);
    await admit?.(chunk.length);
    await promisify(writeFile)(fd, chunk);
  }
  await promisify(fsync)(fd);
  return sizeBytes;
}

/**
 * Writes a short new file for the owner of its folder, and returns when it is on disk. With
 * `replaces`, renames it to that name. Throws Refused.
 */
export function writeInside(root: string, path: string, bytes: Buffer, replaces?: string): void {
  const { fd, folder, target } = openBelow(root, path, O_WRONLY | O_CREAT | O_EXCL);
  try {
    own(fd, fstatSync(folder.fd).uid);
    writeFileSync(fd, bytes);
    fsyncSync(fd);
    if (replaces !== undefined) renameSync(target, `${folder.path}/${replaces}`);
  } finally {
    closeSync(fd);
    closeSync(folder.fd);
  }
}

/** Removes a file; one that is not there, or not safely reached, is left alone. */
export function removeInside(root: string, path: string): void {
  try {
    const { fd, folder, target } = openBelow(root, path, O_RDONLY);
    discard(target);
    closeSync(fd);
    closeSync(folder.fd);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The agent removed or replaced it first.
  }
}

function openFile(root: string, path: string, bytesMax: number): { fd: number; sizeBytes: number } {
  const { fd, folder } = openBelow(root, path, O_RDONLY);
  closeSync(folder.fd);
  const stats = fstatSync(fd);
  let problem: string | undefined;
  if (!stats.isFile()) problem = 'not a regular file';
  // The other name could be of a file that the agent may link to but not read.
  else if (stats.nlink !== 1) problem = 'has more than one hard link';
  else if (stats.size > bytesMax) problem = `has ${stats.size} bytes, more than ${bytesMax}`;
  if (problem === undefined) return { fd, sizeBytes: stats.size };
  closeSync(fd);
  throw new Refused(`${path}: ${problem}`);
}

/**
 * Opens `path` folder by folder. With `maker`, makes missing folders and gives them to that uid.
 */
function openBelow(
  root: string,
  path: string,
  flags: number,
  maker?: number,
): { fd: number; folder: Folder; target: string } {
  const folders = split(path);
  const name = folders.pop();
  let folder = enter(realpathSync(root));
  try {
    for (const next of folders) {
      const parent = folder;
      folder = enter(`${parent.path}/${next}`, maker);
      closeSync(parent.fd);
    }
    const target = `${folder.path}/${name}`;
    return { fd: openSync(target, flags | safely, 0o644), folder, target };
  } catch (error) {
    closeSync(folder.fd);
    const reason = reasons[codeOf(error) ?? ''];
    throw reason === undefined ? error : new Refused(`${path}: ${reason}`, { cause: error });
  }
}

function enter(path: string, maker?: number): Folder {
  const isNew = maker !== undefined && make(path);
  const fd = openSync(path, O_RDONLY | O_DIRECTORY | safely);
  if (isNew) own(fd, maker);
  // On Linux, this path leads to the opened folder itself, even when it was moved meanwhile.
  return { fd, path: isLinux ? `/proc/self/fd/${fd}` : path };
}

/** True when it was missing. Not recursive: that never returns if the agent removes the parent. */
function make(path: string): boolean {
  try {
    mkdirSync(path, 0o755);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

function own(fd: number, uid: number): void {
  if (process.getuid?.() === 0) fchownSync(fd, uid, uid);
}

/** The parts of a relative path that stays inside. */
function split(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  const isOdd = path.startsWith('/') || path.includes('\0') || path.length > pathLengthMax;
  if (isOdd || parts.length === 0 || parts.includes('..'))
    throw new Refused(`${clip(path, 100, '')}: not a path inside this folder`);
  return parts;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
