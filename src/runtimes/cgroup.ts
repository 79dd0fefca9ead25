/**
 * Limits on memory, processes and CPU for containers that no engine limits, by cgroups of version 2
 * or 1. Needs root.
 */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerLimits } from './container-spec.ts';

const cpuPeriodUs = 100_000;

/**
 * The folders in which a container's groups are created: version 2 has one for all limits, version
 * 1 has one for each. Empty where memory cannot be limited.
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
    return []; // EROFS, ENOENT, EACCES: read-only, or a controller is missing
  }
}

/**
 * Creates the container's groups with their limits. Returns the files into which the container's
 * first process writes its own pid.
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
    // The two versions have different files, and many kernels do not count swap.
    for (const [file, value] of Object.entries(settings))
      if (existsSync(join(group, file))) writeFileSync(join(group, file), String(value));
    return join(group, 'cgroup.procs');
  });
}

/** Removes the chosen groups. Rejects when their processes have not ended after four seconds. */
export async function removeCgroups(
  folders: string[],
  chosen: (name: string) => boolean,
): Promise<void> {
  // A killed process leaves its group a little later.
  const patiently = { recursive: true, force: true, maxRetries: 20, retryDelay: 20 };
  for (const folder of folders)
    for (const name of readdirSync(folder).filter(chosen)) await rm(join(folder, name), patiently);
}
