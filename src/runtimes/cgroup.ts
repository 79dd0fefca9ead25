/**
 * Limits on memory, processes and CPU for containers that no engine limits: cgroups written
 * by hand, version 2 or 1. Needs root.
 */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerLimits } from '../container-spec.ts';

const cpuPeriodUs = 100_000;

/**
 * The folders in which a container's groups are made: version 2 has one for all limits, version 1
 * one for each. None where memory cannot be limited.
 */
export function findCgroups(root = '/sys/fs/cgroup'): string[] {
  try {
    if (existsSync(join(root, 'cgroup.controllers'))) {
      writeFileSync(join(root, 'cgroup.subtree_control'), '+memory +pids +cpu');
      return [root];
    }
    const folders = ['memory', 'pids', 'cpu'].map((name) => join(root, name));
    for (const folder of folders) accessSync(join(folder, 'cgroup.procs'), constants.W_OK);
    return folders;
  } catch {
    // Read-only, or a controller is missing.
    return [];
  }
}

/**
 * Makes the container's groups and sets their limits.
 * Returns the files into which the container's first process writes its own pid.
 */
export function createCgroups(folders: string[], name: string, limits: ContainerLimits): string[] {
  const settings = {
    'memory.max': limits.memoryBytes,
    'memory.swap.max': 0,
    'memory.limit_in_bytes': limits.memoryBytes,
    // Memory and swap together.
    'memory.memsw.limit_in_bytes': limits.memoryBytes,
    'pids.max': limits.processesMax,
    'cpu.max': limits.cpus * cpuPeriodUs,
    'cpu.cfs_quota_us': limits.cpus * cpuPeriodUs,
  };
  return folders.map((folder) => {
    const group = join(folder, name);
    mkdirSync(group, { recursive: true });
    // Each version has its own files, and many kernels count no swap.
    for (const [file, value] of Object.entries(settings))
      if (existsSync(join(group, file))) writeFileSync(join(group, file), String(value));
    return join(group, 'cgroup.procs');
  });
}

/** Removes the chosen groups once their processes are gone; rejects when they do not go. */
export async function removeCgroups(
  folders: string[],
  chosen: (name: string) => boolean,
): Promise<void> {
  // Processes that were killed leave a little later: retried for four seconds.
  const patiently = { recursive: true, force: true, maxRetries: 20, retryDelay: 20 };
  for (const folder of folders)
    for (const name of readdirSync(folder).filter(chosen)) await rm(join(folder, name), patiently);
}
