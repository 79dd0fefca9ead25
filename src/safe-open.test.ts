import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  createReadStream,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { copyInside, createInside, Refused, readInside } from './safe-open.ts';

const asRoot = process.getuid?.() === 0;
let outside: string;
let root: string;

beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'safe-open-'));
  root = join(outside, 'group');
  mkdirSync(join(root, 'folder'), { recursive: true });
  writeFileSync(join(outside, 'secret'), 'the secret');
  writeFileSync(join(root, 'folder/file'), 'hello');
});
afterEach(() => rmSync(outside, { recursive: true, force: true }));

const read = (path: string, bytesMax = 100): string =>
  readInside(root, path, { bytesMax }).toString();

const chunks = (...parts: string[]): Readable =>
  Readable.from(parts.map((part) => Buffer.from(part)));
const create = (path: string, source: Readable, more = {}): Promise<number> =>
  createInside(root, path, source, { bytesMax: 100, timeoutMs: 10_000, uid: 0, ...more });

const openFiles = (): number => readdirSync('/proc/self/fd').length;

describe('reading', () => {
  test('gives the content of a file in a folder', () => {
    expect(read('folder/file')).toBe('hello');
    expect(read('./folder//file')).toBe('hello');
  });

  test('gives an empty file', () => {
    writeFileSync(join(root, 'empty'), '');
    expect(read('empty')).toBe('');
  });

  test.each([
    '../secret',
    'folder/../../secret',
    '/etc/passwd',
    '',
    '.',
    'folder/..',
    'folder/file\0',
  ])('refuses the path %j', (path) => {
    expect(() => read(path)).toThrow(Refused);
    expect(() => read(path)).toThrow(/not a path inside/);
  });

  test('refuses a path that is too long', () => {
    expect(() => read(`${'a/'.repeat(3000)}b`)).toThrow(/not a path inside/);
  });

  test('refuses a link in the place of the file, even one that stays inside', () => {
    symlinkSync(join(outside, 'secret'), join(root, 'out'));
    symlinkSync('folder/file', join(root, 'in'));
    expect(() => read('out')).toThrow(/links are not followed/);
    expect(() => read('in')).toThrow(/links are not followed/);
  });

  test('refuses a link at each folder on the way', () => {
    mkdirSync(join(root, 'a/b'), { recursive: true });
    writeFileSync(join(outside, 'b'), '');
    symlinkSync(outside, join(root, 'link'));
    symlinkSync(outside, join(root, 'a/link'));
    symlinkSync(outside, join(root, 'a/b/link'));
    for (const path of ['link/secret', 'a/link/secret', 'a/b/link/secret'])
      expect(() => read(path)).toThrow(/links are not followed/);
  });

  test('refuses a pipe without waiting for its writer', () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    expect(() => read('pipe')).toThrow(/not a regular file/);
  });

  test('refuses a pipe in the place of a folder', () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    expect(() => read('pipe/file')).toThrow(Refused);
  });

  test('refuses a socket', async () => {
    const server = createServer().listen(join(root, 'socket'));
    await once(server, 'listening');
    expect(() => read('socket')).toThrow(/not a regular file/);
    server.close();
  });

  test('refuses a folder', () => {
    expect(() => read('folder')).toThrow(/not a regular file/);
  });

  test('refuses a file with a second name, which may be one that the agent cannot read', () => {
    linkSync(join(outside, 'secret'), join(root, 'hard'));
    expect(() => read('hard')).toThrow(/hard link/);
  });

  test.skipIf(!asRoot)('refuses a device', () => {
    execFileSync('mknod', [join(root, 'zero'), 'c', '1', '5']);
    expect(() => read('zero')).toThrow(/not a regular file/);
  });

  test('refuses what is missing, with a reason that names the path', () => {
    expect(() => read('folder/none')).toThrow('folder/none: there is no such file');
  });

  test('refuses a file above the limit, and takes one at it', () => {
    expect(() => read('folder/file', 4)).toThrow(/5 bytes, more than 4/);
    expect(read('folder/file', 5)).toBe('hello');
  });

  test('refuses a file that claims a terabyte', () => {
    execFileSync('truncate', ['-s', '1T', join(root, 'sparse')]);
    expect(() => read('sparse')).toThrow(/more than 100/);
  });

  test('leaves no file open after refusals', () => {
    symlinkSync(outside, join(root, 'link'));
    linkSync(join(outside, 'secret'), join(root, 'hard'));
    const before = openFiles();
    for (const path of ['link/secret', 'hard', 'folder', 'none', 'folder/none'])
      expect(() => read(path)).toThrow(Refused);
    expect(openFiles()).toBe(before);
  });

  test('never gives the secret while another process swaps the folder for a link', async () => {
    await whileSwapping(() => {
      for (let round = 0; round < 3000; round += 1) {
        try {
          expect(read('swapped/secret')).toBe('harmless');
        } catch (error) {
          expect(error).toBeInstanceOf(Refused);
        }
      }
    });
  });
});

/** Another process makes `swapped` by turns a folder with a harmless file and a link to outside. */
async function whileSwapping(act: () => void): Promise<void> {
  mkdirSync(join(root, 'swapped'));
  writeFileSync(join(root, 'swapped/secret'), 'harmless');
  symlinkSync(outside, join(root, 'other'));
  const script = `
    const { renameSync } = require('node:fs');
    console.log('ready');
    for (;;) {
      renameSync('swapped', 'aside'); renameSync('other', 'swapped'); renameSync('swapped', 'other'); renameSync('aside', 'swapped');
    }`;
  const swapper: ChildProcess = spawn(process.execPath, ['-e', script], { cwd: root });
  const exited = once(swapper, 'exit');
  try {
    if (swapper.stdout === null) throw new Error('no output');
    await once(swapper.stdout, 'data');
    act();
  } finally {
    swapper.kill('SIGKILL');
    await exited;
  }
}

describe('copying out', () => {
  test('gives the bytes and keeps the copy to the host', async () => {
    const copy = join(outside, 'copy');
    expect(await copyInside(root, 'folder/file', copy, { bytesMax: 100 })).toBe(5);
    expect(readFileSync(copy, 'utf8')).toBe('hello');
    expect(statSync(copy).mode & 0o777).toBe(0o600);
  });

  test('copies an empty file', async () => {
    writeFileSync(join(root, 'empty'), '');
    const copy = join(outside, 'copy');
    expect(await copyInside(root, 'empty', copy, { bytesMax: 100 })).toBe(0);
    expect(existsSync(copy)).toBe(true);
  });

  test('never copies more than was checked, however the file grows', async () => {
    const path = join(root, 'growing');
    writeFileSync(path, 'x'.repeat(500_000));
    const copy = join(outside, 'copy');
    const copied = copyInside(root, 'growing', copy, { bytesMax: 500_000 });
    appendFileSync(path, 'y'.repeat(500_000));
    expect(await copied).toBe(500_000);
    expect(readFileSync(copy, 'utf8')).not.toContain('y');
  });

  test('refuses a link and makes no copy', async () => {
    symlinkSync(join(outside, 'secret'), join(root, 'out'));
    const copy = join(outside, 'copy');
    await expect(copyInside(root, 'out', copy, { bytesMax: 100 })).rejects.toThrow(Refused);
    expect(existsSync(copy)).toBe(false);
  });

  test('does not overwrite', async () => {
    const secret = join(outside, 'secret');
    await expect(copyInside(root, 'folder/file', secret, { bytesMax: 100 })).rejects.toThrow();
    expect(readFileSync(secret, 'utf8')).toBe('the secret');
  });
});

describe('creating', () => {
  test('writes a file and the folders on the way', async () => {
    expect(await create('media/deep/a', chunks('one', 'two'))).toBe(6);
    expect(readFileSync(join(root, 'media/deep/a'), 'utf8')).toBe('onetwo');
  });

  test.skipIf(!asRoot)('gives file and new folders to the agent', async () => {
    await create('media/deep/a', chunks('one'), { uid: 70_123 });
    for (const path of ['media', 'media/deep', 'media/deep/a'])
      expect(statSync(join(root, path)).uid).toBe(70_123);
    expect(statSync(root).uid).toBe(0);
  });

  test('does not overwrite a file, nor follow a link in its place', async () => {
    symlinkSync(join(outside, 'made'), join(root, 'link'));
    await expect(create('folder/file', chunks('x'))).rejects.toThrow(/exists already/);
    await expect(create('link', chunks('x'))).rejects.toThrow(Refused);
    expect(readFileSync(join(root, 'folder/file'), 'utf8')).toBe('hello');
    expect(existsSync(join(outside, 'made'))).toBe(false);
  });

  test('does not follow a link in the place of a folder', async () => {
    symlinkSync(outside, join(root, 'media'));
    await expect(create('media/a', chunks('x'))).rejects.toThrow(/links are not followed/);
    expect(existsSync(join(outside, 'a'))).toBe(false);
  });

  test('leaves nothing of a file that is too large', async () => {
    await expect(create('big', chunks('x'.repeat(60), 'x'.repeat(60)))).rejects.toThrow(Refused);
    expect(existsSync(join(root, 'big'))).toBe(false);
  });

  test('ends a source when no file could be made, and survives its later error', async () => {
    const source = createReadStream(join(outside, 'none'));
    await expect(create('folder/file', source)).rejects.toThrow();
    expect(source.destroyed).toBe(true);
  });

  test('leaves nothing when the source breaks, and passes its error on', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x');
      throw new Error('the phone went away');
    }
    await expect(create('part', Readable.from(broken()))).rejects.toThrow('the phone went away');
    expect(existsSync(join(root, 'part'))).toBe(false);
  });

  test('gives up on a source that stalls, and leaves nothing', async () => {
    const stalled = new Readable({ read: () => {} });
    stalled.push('x');
    await expect(create('slow', stalled, { timeoutMs: 50 })).rejects.toThrow(/too long/);
    expect(existsSync(join(root, 'slow'))).toBe(false);
  });

  test('writes nothing outside while another process swaps the folder for a link', async () => {
    const attempts: Promise<unknown>[] = [];
    await whileSwapping(() => {
      for (let round = 0; round < 300; round += 1)
        attempts.push(create(`swapped/new-${round}`, chunks('x')).catch((error: unknown) => error));
    });
    for (const outcome of await Promise.all(attempts))
      expect(outcome === 1 || outcome instanceof Refused).toBe(true);
    expect(readdirSync(outside).filter((name) => name.startsWith('new-'))).toEqual([]);
  });
});
