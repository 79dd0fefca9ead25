import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createCgroups, findCgroups, listCgroups, removeCgroups } from './cgroup.ts';
import { defaultLimits } from './config.ts';

const limits = {
  ...defaultLimits.container,
  memoryBytes: 64 * 1024 * 1024,
  processesMax: 20,
  cpus: 2,
};
const real = process.getuid?.() === 0 ? findCgroups() : null;

describe('in a tree like that of the kernel', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'cgroup-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');

  test('version 2 gets all limits in one group, and is told to hand them down', () => {
    writeFileSync(join(root, 'cgroup.controllers'), 'cpu memory pids');
    const cgroups = findCgroups(root);
    expect(read('cgroup.subtree_control')).toBe('+memory +pids +cpu');
    mkdirSync(join(root, 'box'));
    writeFileSync(join(root, 'box/memory.swap.max'), 'max');
    expect(createCgroups(cgroups ?? [], 'box', limits)).toEqual([join(root, 'box/cgroup.procs')]);
    expect(read('box/memory.max')).toBe('67108864');
    expect(read('box/memory.swap.max')).toBe('0');
    expect(read('box/pids.max')).toBe('20');
    expect(read('box/cpu.max')).toBe('200000 100000');
  });

  test('version 1 gets each limit in its own tree', () => {
    for (const tree of ['memory', 'pids', 'cpu']) mkdirSync(join(root, tree));
    const files = createCgroups(findCgroups(root) ?? [], 'box', limits);
    expect(files).toEqual(
      ['memory', 'pids', 'cpu'].map((tree) => join(root, tree, 'box/cgroup.procs')),
    );
    expect(read('memory/box/memory.limit_in_bytes')).toBe('67108864');
    expect(read('pids/box/pids.max')).toBe('20');
    expect(read('cpu/box/cpu.cfs_quota_us')).toBe('200000');
  });

  test('without a tree that limits memory there is nothing', () => {
    for (const tree of ['pids', 'cpu']) mkdirSync(join(root, tree));
    expect(findCgroups(root)).toBe(null);
    expect(findCgroups(join(root, 'none'))).toBe(null);
  });
});

describe.skipIf(real === null)('in the tree of this kernel', () => {
  const cgroups = real ?? [];
  const name = `nanoclaw-dddddddd-${process.pid}`;

  test('groups are made, listed by prefix, and removed, twice without complaint', async () => {
    const files = createCgroups(cgroups, name, limits);
    expect(files.every((file) => existsSync(file))).toBe(true);
    expect(listCgroups(cgroups, 'nanoclaw-dddddddd-')).toEqual([name]);
    await removeCgroups(cgroups, name);
    expect(files.some((file) => existsSync(dirname(file)))).toBe(false);
    await removeCgroups(cgroups, name);
  });

  test('a group waits for its last process before it is removed', async () => {
    const [file] = createCgroups(cgroups, name, limits);
    const child = spawn('sh', ['-c', `echo $$ >${file}; echo in; exec sleep 1000`]);
    await once(child.stdout, 'data');
    let removed = false;
    const removal = removeCgroups(cgroups, name).then(() => {
      removed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(removed).toBe(false);
    child.kill('SIGKILL');
    await removal;
    expect(existsSync(dirname(file ?? ''))).toBe(false);
  });
});
