/**
 * Containers by bubblewrap: the host's /usr read-only, no daemon, no image. Never runs a sandbox as
 * root. On a host that is root, an outer stage collects the mounts where the agent's uid can reach
 * them and then drops to that uid.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCgroups, findCgroups, removeCgroups } from './cgroup.ts';
import type { ContainerSpec, Launch, Mount, Runtime } from './container-spec.ts';
import { closeInherited, killMarked, markName } from './processes.ts';
import { missingPrograms } from './table.mjs';

export interface BubblewrapHost {
  isRoot: boolean;
  /** Bubblewrap arguments that show the host's programs, read-only and without secrets. */
  system: string[];
  mounts: Mount[];
  filter: Buffer;
}

/** Inside, every agent is uid 1000; container/etc/passwd calls it `agent`. */
const agentId = '1000';
const searchPath = '/opt/node/bin:/usr/local/bin:/usr/bin:/bin';

/** Created before the mounts below them: bubblewrap would create them closed to all but root. */
const folders = ['/etc', '/etc/ssl', '/etc/pki', '/etc/pki/tls', '/etc/pki/ca-trust'];
/** Programs, and the parts of /etc that they need. Private keys lie beside some of these. */
const sharedPaths = `
  /bin /sbin /lib /lib32 /lib64 /libx32
  /etc/ld.so.cache /etc/alternatives /etc/localtime /etc/ssl/certs
  /etc/ca-certificates /etc/pki/ca-trust/extracted /etc/pki/tls/certs`
  .trim()
  .split(/\s+/);
/** The kernel's, which all its users share, so that agents may not write them. */
const kernelSettings = ['/proc/sys', '/proc/pressure'];
/** The settings of the host's own programs, such as an npmrc with a token. */
const maskedPath = '/usr/local/etc';

/** Writes its pid into each file before `--`, so that the limits hold for what follows, and runs that. */
const enterCgroups =
  'umask 022; while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"';

/** Bubblewrap on this host. Whether it is installed shows when a container starts. */
export function openBubblewrap(projectDir: string): Runtime {
  closeInherited();
  const host = lookAtHost(projectDir);
  const cgroups = host.isRoot ? findCgroups() : [];
  return {
    name: 'bubblewrap',
    hasOwnKernel: false,
    describe: () =>
      cgroups.length > 0
        ? `bubblewrap, with ${programs()}`
        : `bubblewrap, with ${programs()}, and with no limit on memory: that needs root, and cgroups that it can write`,
    launch: (spec) => bubblewrapLaunch(host, spec, createCgroups(cgroups, spec.name, spec.limits)),
    kill: async (name) => {
      await killMarked((marked) => marked === name);
    },
    release: (name) => removeCgroups(cgroups, (group) => group === name),
    reap: async (instance) => {
      const isOurs = (name: string) => name.startsWith(`nanoclaw-${instance}-`);
      const killed = await killMarked(isOurs);
      await removeCgroups(cgroups, isOurs);
      return killed.size;
    },
  };
}

function programs(): string {
  const missing = missingPrograms();
  return `this machine's programs${missing.length > 0 ? `, but no ${missing.join(', ')}` : ''}`;
}

function lookAtHost(projectDir: string): BubblewrapHost {
  const etc = ['passwd', 'group', 'hosts'].map((name) => ({
    source: join(projectDir, 'container/etc', name),
    target: `/etc/${name}`,
    readOnly: true,
  }));
  return {
    isRoot: process.getuid?.() === 0,
    system: [
      ...folders.map((path) => ['--dir', path]),
      ['--ro-bind', '/usr', '/usr'],
      ...sharedPaths.map((path) => ['--ro-bind-try', path, path]),
      existsSync(maskedPath) ? ['--tmpfs', maskedPath, '--remount-ro', maskedPath] : [],
    ].flat(),
    mounts: [{ source: process.execPath, target: '/opt/node/bin/node', readOnly: true }, ...etc],
    filter: readFileSync(join(projectDir, 'dist/seccomp.bpf')),
  };
}

/** How to start the container; pure. `cgroupFiles` come from `createCgroups`. */
export function bubblewrapLaunch(
  host: BubblewrapHost,
  spec: ContainerSpec,
  cgroupFiles: string[],
): Launch {
  const mounts = [...host.mounts, ...spec.mounts];
  const staged = mounts.map((mount, index) => ({ ...mount, source: `/stage/${index}` }));
  const sealed = sealedArguments(host, spec, host.isRoot ? staged : mounts);
  const shell = ['-c', enterCgroups, 'sh', ...cgroupFiles, '--'];
  const stage = host.isRoot ? ['bwrap', '--args', '5', '--', ...dropTo(spec.uid)] : [];
  const stageFeed = host.isRoot ? [feed(stageArguments(host, mounts))] : [];
  return {
    file: '/bin/sh',
    args: [...shell, ...stage, 'bwrap', '--args', '3', '--', ...limited(spec)],
    // The container sees it as the environment of its process 1.
    env: { [markName]: spec.name },
    feeds: [feed(sealed), host.filter, ...stageFeed],
  };
}

function dropTo(uid: number): string[] {
  return [
    'setpriv',
    '--reuid',
    String(uid),
    '--regid',
    String(uid),
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
  ];
}

/** The outer stage, still root: the mounts under /stage, which any uid may traverse. */
function stageArguments(host: BubblewrapHost, mounts: Mount[]): string[] {
  return [
    // All of a pid namespace ends with its first process. The signal of a parent's death does not
    // reach a process that has changed its uid.
    ['--unshare-pid', '--die-with-parent'],
    host.system,
    ['--dev-bind', '/dev', '/dev'],
    ['--dev-bind', '/proc', '/proc'],
    ['--dir', '/tmp'],
    ['--dir', '/stage'],
    ...mounts.map((mount, index) => bind({ ...mount, target: `/stage/${index}` })),
  ].flat();
}

/** The sandbox itself. `/` and /dev are in memory, without a limit, so both become read-only. */
function sealedArguments(host: BubblewrapHost, spec: ContainerSpec, mounts: Mount[]): string[] {
  const env = Object.entries({ PATH: searchPath, ...spec.env });
  return [
    ['--unshare-all', '--unshare-user', '--disable-userns'],
    ['--die-with-parent', '--new-session'],
    ['--hostname', 'nanoclaw'],
    ['--clearenv'],
    ...env.map(([name, value]) => ['--setenv', name, value]),
    host.system,
    ['--proc', '/proc'],
    ['--dev', '/dev'],
    ...kernelSettings.map((path) => ['--ro-bind-try', path, path]),
    ['--size', String(spec.limits.shmBytesMax), '--tmpfs', '/dev/shm'],
    ['--remount-ro', '/dev'],
    ['--size', String(spec.limits.tmpBytesMax), '--tmpfs', '/tmp'],
    ...mounts.map(bind),
    ['--remount-ro', '/'],
    ['--chdir', spec.workDir],
    ['--uid', agentId, '--gid', agentId],
    ['--cap-drop', 'ALL'],
    ['--seccomp', '4'],
  ].flat();
}

function bind({ source, target, readOnly }: Mount): string[] {
  return [readOnly ? '--ro-bind' : '--bind', source, target];
}

/** Runs inside the sandbox. Outside, `nproc` would count all processes of the uid on the host. */
function limited({ limits, command }: ContainerSpec): string[] {
  return [
    'prlimit',
    `--nproc=${limits.processesMax}`,
    `--nofile=${limits.openFilesMax}`,
    `--fsize=${limits.fileBytesMax}`,
    '--core=0',
    '--',
    ...command,
  ];
}

/** Arguments go through a file descriptor, because a command line shows in `ps` and in /proc/1. */
function feed(args: string[]): Buffer {
  return Buffer.from(`${args.join('\0')}\0`);
}
