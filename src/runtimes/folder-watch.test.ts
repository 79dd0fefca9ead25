import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { HeldClock } from '../../test/support/held-clock.ts';
import { temporaryFolder } from '../../test/support/store.ts';
import { type Config, defaultLimits, loadConfig } from '../config.ts';
import { watchFolders } from './folder-watch.ts';

const asRoot = process.getuid?.() === 0;
const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;
/** Bytes, files, and what is free on the disk. */
const boundsCount = 3;
let config: Config;
let group: string;
let home: string;

beforeEach(() => {
  config = loadConfig({}, temporaryFolder());
  group = join(config.groupsDir, 'family');
  home = join(config.dataDir, 'agents/family/home');
  for (const folder of [group, home]) mkdirSync(folder, { recursive: true });
});

function fill(folder: string, name: string, bytes: number): void {
  writeFileSync(join(folder, name), Buffer.alloc(bytes, 1));
}

/** A watch that has looked once; `look` makes it look again. */
async function watch(changes: Partial<typeof defaultLimits>, folders = [group, home]) {
  const clock = new HeldClock();
  const limits = { ...defaultLimits, diskFreeBytesMin: 0, ...changes };
  const details: string[] = [];
  const stop = watchFolders(folders, { clock, limits, config }, (detail) => details.push(detail));
  onTestFinished(stop);
  const looked = async () => {
    while (clock.waits().length < boundsCount && details.length === 0) await nextTurn();
  };
  await looked();
  return {
    stop,
    clock,
    details,
    look: async () => {
      clock.advance(limits.folderCheckMs);
      await looked();
      return details[0];
    },
  };
}

describe('the bytes of an agent', () => {
  test('are counted over all its folders, however deep, and end it above the bound', async () => {
    const { look } = await watch({ folderBytesMax: 4 * mebibyte });
    mkdirSync(join(group, 'a/b'), { recursive: true });
    fill(group, 'a/b/one', 2 * mebibyte);
    expect(await look()).toBeUndefined();
    fill(home, 'two', 2 * mebibyte);
    expect(await look()).toBe('my files take more than 0.00390625 GiB');
  });

  test('are those on the disk: no hole, no second name, nothing behind a link', async () => {
    const outside = temporaryFolder();
    fill(outside, 'big', 8 * mebibyte);
    const { look } = await watch({ folderBytesMax: 4 * mebibyte });
    symlinkSync(outside, join(group, 'folder'));
    symlinkSync(join(outside, 'big'), join(group, 'file'));
    fill(group, 'one', 3 * mebibyte);
    linkSync(join(group, 'one'), join(home, 'again'));
    writeFileSync(join(group, 'sparse'), '');
    truncateSync(join(group, 'sparse'), gibibyte);
    expect(await look()).toBeUndefined();
  });

  test('of before may stay while it cleans up, and grow by no more than a twentieth', async () => {
    fill(group, 'old', 6 * mebibyte);
    const { look } = await watch({ folderBytesMax: 4 * mebibyte });
    fill(home, 'transcript', 100 * 1024);
    expect(await look()).toBeUndefined();
    rmSync(join(group, 'old'));
    fill(group, 'smaller', 5 * mebibyte);
    expect(await look()).toBeUndefined();
    fill(home, 'more', 2 * mebibyte);
    expect(await look()).toContain('my files take');
  });

  test('are not those of the owner, in a folder that is lent', async () => {
    const lent = temporaryFolder();
    const { look } = await watch({ folderBytesMax: 4 * mebibyte }, [group, lent]);
    fill(lent, 'photo', 8 * mebibyte);
    expect(await look()).toBeUndefined();
  });
});

describe('the files of an agent', () => {
  test('count by themselves, empty ones, links and pipes too', async () => {
    const { look } = await watch({ folderFilesMax: 20 });
    for (let number = 0; number < 9; number += 1) {
      writeFileSync(join(group, `empty-${number}`), '');
      symlinkSync('nowhere', join(group, `link-${number}`));
    }
    expect(await look()).toBeUndefined();
    execFileSync('mkfifo', [join(home, 'pipe')]);
    expect(await look()).toBe('I have more than 20 files');
  });

  test('that cannot be counted in time are too many', async () => {
    const changes = { folderFilesMax: 20, folderLookTimeoutMs: 30_000 };
    const slow = temporaryFolder();
    const usualPath = process.env.PATH;
    onTestFinished(() => {
      process.env.PATH = usualPath;
    });
    const { look, details } = await watch(changes);
    writeFileSync(join(slow, 'nice'), '#!/bin/sh\nkill -KILL $$\n', { mode: 0o755 });
    process.env.PATH = `${slow}:${usualPath}`;
    await look();
    while (details.length < 2) await nextTurn();
    expect(details.sort()).toEqual(['I have more than 20 files', 'my files take more than 10 GiB']);
  });

  test('may vanish while they are counted', async () => {
    const { look } = await watch({});
    rmSync(home, { recursive: true });
    expect(await look()).toBeUndefined();
  });
});

describe('the disk', () => {
  test.skipIf(!asRoot)(
    'that is nearly full ends who runs, although the folders are small',
    async () => {
      // A disk of its own, of known size.
      const disk = temporaryFolder();
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'none', disk]);
      onTestFinished(() => void execFileSync('umount', [disk]));
      const { look } = await watch({ diskFreeBytesMin: 4 * mebibyte }, [group, disk]);
      fill(disk, 'one', 8 * mebibyte);
      expect(await look()).toBeUndefined();
      fill(disk, 'two', 5 * mebibyte);
      expect(await look()).toBe("this machine's disk has less than 0.00390625 GiB left");
      const later = await watch({ diskFreeBytesMin: 4 * mebibyte }, [group, disk]);
      expect(await later.look()).toBeUndefined();
      fill(disk, 'three', mebibyte);
      expect(await later.look()).toContain('left');
    },
  );
});

describe('a watch', () => {
  test('tells of a bound once', async () => {
    const { look, clock, details } = await watch({ folderFilesMax: 5 });
    for (const name of ['1', '2', '3', '4', '5', '6']) fill(group, name, 0);
    await look();
    while (clock.waits().length < boundsCount - 1) await nextTurn();
    const other = await watch({});
    await other.look();
    expect([details.length, clock.waits().length]).toEqual([1, boundsCount - 1]);
  });

  test('that is stopped looks no more', async () => {
    const { stop, clock } = await watch({});
    stop();
    expect(clock.waits()).toEqual([]);
  });

  test('that is stopped says nothing, also in the middle of a look', async () => {
    const { stop, clock, details } = await watch({ folderFilesMax: 5 });
    for (const name of ['1', '2', '3', '4', '5', '6']) fill(group, name, 0);
    clock.advance(defaultLimits.folderCheckMs);
    stop();
    const check = await watch({ folderFilesMax: 5 });
    await check.look();
    expect([details, clock.waits()]).toEqual([[], []]);
  });
});
