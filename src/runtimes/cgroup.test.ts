import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultLimits } from '../config.ts';
import { createCgroups, findCgroups, removeCgroups } from './cgroup.ts';

const limits = {
  ...defaultLimits.container,
  memoryBytes: 64 * 1024 * 1024,
  processesMax: 20,
  cpus: 2,
};
const real = process.getuid?.() === 0 ? findCgroups() : [];

describe('in a tree like that of the kernel', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'cgroup-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  const provide = (...paths: string[]): void => {
    for (const path of paths) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), 'max');
    }
  };

  test('version 2 gets all limits in one group, and is told to hand them down', () => {
    writeFileSync(join(root, 'cgroup.controllers'), 'cpu memory pids');
    const folders = findCgroups(root);
    expect(read('cgroup.subtree_control')).toBe('+memory +pids +cpu');
    provide('box/memory.max', 'box/memory.swap.max', 'box/pids.max', 'box/cpu.max');
    expect(createCgroups(folders, 'box', limits)).toEqual([join(root, 'box/cgroup.procs')]);
    expect(read('box/memory.max')).toBe('67108864');
    expect(read('box/memory.swap.max')).toBe('0');
    expect(read('box/pids.max')).toBe('20');
    expect(read('box/cpu.max')).toBe('200000');
  });

  test('version 1 gets each limit in its own tree', () => {
    provide('memory/cgroup.procs', 'pids/cgroup.procs', 'cpu/cgroup.procs');
    provide('memory/box/memory.limit_in_bytes', 'pids/box/pids.max', 'cpu/box/cpu.cfs_quota_us');
    const files = createCgroups(findCgroups(root), 'box', limits);
    expect(files).toEqual(
      ['memory', 'pids', 'cpu'].map((tree) => join(root, tree, 'box/cgroup.procs')),
    );
    expect(read('memory/box/memory.limit_in_bytes')).toBe('67108864');
    expect(read('pids/box/pids.max')).toBe('20');
    expect(read('cpu/box/cpu.cfs_quota_us')).toBe('200000');
    expect(existsSync(join(root, 'memory/box/memory.memsw.limit_in_bytes'))).toBe(false);
  });

  test('without a tree that limits memory there is nothing', () => {
    provide('pids/cgroup.procs', 'cpu/cgroup.procs');
    expect(findCgroups(root)).toEqual([]);
    expect(findCgroups(join(root, 'none'))).toEqual([]);
  });
});

describe.skipIf(real.length === 0)('in the tree of this kernel', () => {
  const name = `nanoclaw-dddddddd-${process.pid}`;
  const ours = (group: string): boolean => group === name;

  test('groups are made with the limits, and removed, twice without complaint', async () => {
    const files = createCgroups(real, name, limits);
    const groups = files.map((file) => dirname(file));
    const values = groups.flatMap((group) =>
      ['memory.max', 'memory.limit_in_bytes', 'pids.max', 'cpu.max', 'cpu.cfs_quota_us']
        .filter((file) => existsSync(join(group, file)))
        .map((file) => readFileSync(join(group, file), 'utf8').trim().split(' ')[0]),
    );
    expect(values).toEqual(['67108864', '20', '200000']);
    await removeCgroups(real, ours);
    expect(groups.some((group) => existsSync(group))).toBe(false);
    await removeCgroups(real, ours);
  });

  test('only the chosen groups are removed', async () => {
    const [file = ''] = createCgroups(real, name, limits);
    await removeCgroups(real, (group) => group === `${name}-other`);
    expect(existsSync(file)).toBe(true);
    await removeCgroups(real, ours);
  });

  test('a group waits for its last process before it is removed', async () => {
    const [file] = createCgroups(real, name, limits);
    const child = spawn('sh', ['-c', `echo $$ >${file}; echo in; exec sleep 1000`]);
    await once(child.stdout, 'data');
    let removed = false;
    const removal = removeCgroups(real, ours).then(() => {
      removed = true;
    });
    // Meanwhile the removal has tried, too.
    for (let round = 0; round < 20; round += 1)
      await expect(rmdir(dirname(file ?? ''))).rejects.toThrow(/EBUSY/);
    expect(removed).toBe(false);
    child.kill('SIGKILL');
    await removal;
    expect(existsSync(dirname(file ?? ''))).toBe(false);
  });
});
