/**
 * Limits on memory, processes and CPU for containers that no engine limits: cgroups written
 * by hand, version 2 or 1. Needs root. Only the kernel's files under /sys/fs/cgroup are touched,
 * and there only the groups that carry a container's name.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerLimits } from './runtimes/contract.ts';

/** One hierarchy: version 2 has one for all limits, version 1 one for each controller. */
interface Hierarchy {
  path: string;
  settings(limits: ContainerLimits): Settings;
}

type Settings = Record<string, string | number>;

type Cgroups = readonly Hierarchy[];

const periodUs = 100_000;
/** Processes that were killed leave their group a little later. */
const removeAttemptsMax = 100;
const removeRetryMs = 20;

/** The hierarchies below `root` that can hold a limit on memory; null where none can. */
export function findCgroups(root = '/sys/fs/cgroup'): Cgroups | null {
  return existsSync(join(root, 'cgroup.controllers')) ? version2(root) : version1(root);
}

function version2(root: string): Cgroups | null {
  try {
    writeFileSync(join(root, 'cgroup.subtree_control'), '+memory +pids +cpu');
  } catch {
    // Read-only, or a controller is missing: then it cannot limit.
    return null;
  }
  const settings = (limits: ContainerLimits): Settings => ({
    'memory.max': limits.memoryBytes,
    'pids.max': limits.processesMax,
    'cpu.max': `${limits.cpus * periodUs} ${periodUs}`,
  });
  return [{ path: root, settings }];
}

function version1(root: string): Cgroups | null {
  const hierarchies: Hierarchy[] = [
    {
      path: join(root, 'memory'),
      settings: (limits) => ({ 'memory.limit_in_bytes': limits.memoryBytes }),
    },
    { path: join(root, 'pids'), settings: (limits) => ({ 'pids.max': limits.processesMax }) },
    {
      path: join(root, 'cpu'),
      settings: (limits) => ({
        'cpu.cfs_period_us': periodUs,
        'cpu.cfs_quota_us': limits.cpus * periodUs,
      }),
    },
  ];
  return hierarchies.every((hierarchy) => writable(hierarchy.path)) ? hierarchies : null;
}

/**
 * Makes the container's groups and sets their limits.
 * Returns the files into which the container's first process writes its own pid.
 */
export function createCgroups(cgroups: Cgroups, name: string, limits: ContainerLimits): string[] {
  return cgroups.map((hierarchy) => {
    const group = join(hierarchy.path, name);
    mkdirSync(group, { recursive: true });
    for (const [file, value] of Object.entries(hierarchy.settings(limits)))
      writeFileSync(join(group, file), String(value));
    for (const [file, value] of Object.entries(noSwap(limits)))
      if (existsSync(join(group, file))) writeFileSync(join(group, file), String(value));
    return join(group, 'cgroup.procs');
  });
}

/** Version 2 counts swap alone, version 1 memory and swap together; many kernels count neither. */
function noSwap(limits: ContainerLimits): Settings {
  return { 'memory.swap.max': 0, 'memory.memsw.limit_in_bytes': limits.memoryBytes };
}

/** Names of the groups that begin with `prefix`. */
export function listCgroups(cgroups: Cgroups, prefix: string): string[] {
  const names = cgroups.flatMap((hierarchy) => readdirSync(hierarchy.path));
  return [...new Set(names.filter((name) => name.startsWith(prefix)))];
}

/** Removes a container's groups once its processes are gone; throws when they do not go. */
export async function removeCgroups(cgroups: Cgroups, name: string): Promise<void> {
  for (const hierarchy of cgroups) {
    for (let attempt = 1; !removed(join(hierarchy.path, name)); attempt += 1) {
      if (attempt === removeAttemptsMax) throw new Error(`Processes of ${name} do not end.`);
      await sleep(removeRetryMs);
    }
  }
}

function removed(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EBUSY') return false;
    if (code === 'ENOENT') return true;
    throw error;
  }
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    // Missing or read-only.
    return false;
  }
}
