/**
 * Containers by bubblewrap: the host's /usr read-only, no daemon, no image. The command line is
 * a pure function of the host and the container. Never runs a sandbox as the host's root: there,
 * an outer stage gathers the mounts where the agent's uid can reach them, then drops to that uid.
 */
import { existsSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createCgroups, findCgroups, listCgroups, removeCgroups } from '../cgroup.ts';
import { seccompFilter } from '../seccomp.ts';
import { UserError } from '../types.ts';
import type { ContainerSpec, Launch, Mount, Runtime } from './contract.ts';
import { closeInherited, killMarked, markName } from './processes.ts';
import { type Environment, findProgram } from './programs.ts';

/** What a command line depends on, besides the container. */
export interface BubblewrapHost {
  root: boolean;
  bwrap: string;
  setpriv: string;
  /** Set when systemd can limit a plain user's containers. */
  systemdRun: { file: string; env: Record<string, string> } | null;
  /** Bubblewrap arguments that show the host's programs, read-only and without secrets. */
  system: string[];
  /** Programs and files that every container has. */
  mounts: Mount[];
  filter: Buffer;
}

/** Inside, every agent is uid 1000; container/etc/passwd calls it `agent`. */
const agentId = '1000';
const searchPath = '/opt/node/bin:/usr/local/bin:/usr/bin:/bin';

/** Parts of /etc that programs need and that hold no secret; private keys lie beside some of them. */
const sharedEtc = [
  '/etc/ld.so.cache',
  '/etc/alternatives',
  '/etc/localtime',
  '/etc/ssl/certs',
  '/etc/ssl/openssl.cnf',
  '/etc/ca-certificates',
  '/etc/pki/ca-trust/extracted',
  '/etc/pki/tls/certs',
];

/** Writes its pid into each file before `--`, so that all it starts is limited; then becomes the rest. */
const enterCgroups =
  'umask 022; while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"';

/** Bubblewrap as it is on this host; throws UserError when a program it needs is missing. */
export function openBubblewrap(projectDir: string, environment: Environment): Runtime {
  closeInherited();
  const root = process.getuid?.() === 0;
  const cgroups = root ? findCgroups() : null;
  const host: BubblewrapHost = {
    root,
    bwrap: need('bwrap', 'bubblewrap', environment),
    setpriv: need('setpriv', 'util-linux', environment),
    systemdRun: root ? null : findSystemdRun(environment),
    system: systemArguments(),
    mounts: [
      { source: process.execPath, target: '/opt/node/bin/node', readOnly: true },
      ...['passwd', 'group', 'nsswitch.conf', 'hosts'].map((name) => ({
        source: join(projectDir, 'container/etc', name),
        target: `/etc/${name}`,
        readOnly: true,
      })),
    ],
    filter: seccompFilter(process.arch),
  };
  const limited = cgroups !== null || host.systemdRun !== null;
  const removeAll = async (names: string[]) => {
    for (const name of names) await removeCgroups(cgroups ?? [], name);
  };
  return {
    name: 'bubblewrap',
    describe: () =>
      limited
        ? 'bubblewrap'
        : 'bubblewrap, with no limit on memory: this host has no cgroup for us',
    launch: (spec) =>
      bubblewrapLaunch(host, spec, createCgroups(cgroups ?? [], spec.name, spec.limits)),
    kill: async (name) => {
      await killMarked((marked) => marked === name);
    },
    release: (name) => removeAll([name]),
    reap: async (instance) => {
      const prefix = `nanoclaw-${instance}-`;
      const killed = await killMarked((marked) => marked.startsWith(prefix));
      await removeAll(listCgroups(cgroups ?? [], prefix));
      return killed.size;
    },
  };
}

function need(name: string, packageName: string, environment: Environment): string {
  const path = findProgram(name, environment);
  if (path !== undefined) return path;
  throw new UserError(
    `The program ${name} is missing. Install it: sudo apt-get install ${packageName} (or dnf, pacman, apk).`,
  );
}

/** The host's programs and the parts of its /etc they need. */
function systemArguments(): string[] {
  const linksOrFolders = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
  const shown = [...linksOrFolders, ...sharedEtc].filter((path) => existsSync(path));
  // Settings of the host's own programs, such as an npmrc with a token.
  const masked = ['/usr/local/etc'].filter((path) => existsSync(path));
  return [
    // Made before what is below them: else only their maker, root, could enter.
    ...['/etc', '/etc/ssl', '/etc/pki', '/etc/pki/tls', '/etc/pki/ca-trust'].flatMap((path) => [
      '--dir',
      path,
    ]),
    ...['--ro-bind', '/usr', '/usr'],
    ...masked.flatMap((path) => ['--tmpfs', path, '--remount-ro', path]),
    ...shown.flatMap((path) =>
      linksOrFolders.includes(path) && lstatSync(path).isSymbolicLink()
        ? ['--symlink', readlinkSync(path), path]
        : ['--ro-bind', path, path],
    ),
  ];
}

/** A plain user's containers can be limited when systemd lets the user's own groups do it. */
function findSystemdRun(environment: Environment): BubblewrapHost['systemdRun'] {
  const file = findProgram('systemd-run', environment);
  const { XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS } = environment;
  if (file === undefined || XDG_RUNTIME_DIR === undefined) return null;
  const uid = process.getuid?.();
  const group = `/sys/fs/cgroup/user.slice/user-${uid}.slice/user@${uid}.service`;
  try {
    const controllers = readFileSync(join(group, 'cgroup.controllers'), 'utf8').trim().split(' ');
    if (!controllers.includes('memory')) return null;
  } catch {
    // No session of systemd, or cgroups of version 1.
    return null;
  }
  return {
    file,
    env: { XDG_RUNTIME_DIR, ...(DBUS_SESSION_BUS_ADDRESS && { DBUS_SESSION_BUS_ADDRESS }) },
  };
}

/** How to start the container; pure. `cgroupFiles` come from `createCgroups`. */
export function bubblewrapLaunch(
  host: BubblewrapHost,
  spec: ContainerSpec,
  cgroupFiles: string[],
): Launch {
  const env = { [markName]: spec.name };
  const mounts = [...host.mounts, ...spec.mounts];
  const command = ['--', ...limited(spec)];
  if (!host.root) {
    const inner = sealedArguments(host, spec, mounts, 4);
    const feeds = [feed(inner), host.filter];
    const args = ['--args', '3', ...command];
    return host.systemdRun === null
      ? { file: host.bwrap, args, env, feeds }
      : {
          file: host.systemdRun.file,
          args: [...scopeArguments(spec), host.bwrap, ...args],
          env: { ...host.systemdRun.env, ...env },
          feeds,
        };
  }
  const staged = mounts.map((mount, index) => ({ ...mount, source: `/stage/${index}` }));
  const inner = sealedArguments(host, spec, staged, 5);
  return {
    file: '/bin/sh',
    args: [
      ...['-c', enterCgroups, 'sh', ...cgroupFiles, '--'],
      ...[host.bwrap, '--args', '3', '--'],
      ...[host.setpriv, '--reuid', String(spec.uid), '--regid', String(spec.uid), '--clear-groups'],
      ...['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs', '--'],
      ...[host.bwrap, '--args', '4', ...command],
    ],
    env,
    feeds: [feed(stageArguments(host, mounts)), feed(inner), host.filter],
  };
}

/** The outer stage, still root: the mounts under /stage, which any uid may traverse. */
function stageArguments(host: BubblewrapHost, mounts: Mount[]): string[] {
  return [
    // A pid namespace of its own dies as one; a parent's death signal is lost when the uid changes.
    ...['--unshare-pid', '--die-with-parent'],
    ...host.system,
    ...['--dev-bind', '/dev', '/dev', '--dev-bind', '/proc', '/proc', '--dir', '/tmp'],
    ...['--dir', '/stage'],
    ...mounts.flatMap((mount, index) => bind({ ...mount, target: `/stage/${index}` })),
  ];
}

/** The sandbox proper. The root directory and /dev would be unlimited memory if left writable. */
function sealedArguments(
  host: BubblewrapHost,
  spec: ContainerSpec,
  mounts: Mount[],
  filterFd: number,
): string[] {
  const env = Object.entries({ PATH: searchPath, ...spec.env });
  return [
    ...['--unshare-all', '--unshare-user', '--disable-userns', '--die-with-parent'],
    ...['--new-session', '--hostname', 'nanoclaw', '--clearenv'],
    ...env.flatMap(([name, value]) => ['--setenv', name, value]),
    ...host.system,
    ...['--proc', '/proc', '--ro-bind', '/proc/sys', '/proc/sys', '--dev', '/dev'],
    ...['--size', String(spec.limits.shmBytesMax), '--tmpfs', '/dev/shm', '--remount-ro', '/dev'],
    ...['--size', String(spec.limits.tmpBytesMax), '--tmpfs', '/tmp'],
    ...mounts.flatMap(bind),
    ...['--remount-ro', '/', '--chdir', spec.workDir, '--uid', agentId, '--gid', agentId],
    ...['--cap-drop', 'ALL', '--seccomp', String(filterFd)],
  ];
}

function bind(mount: Mount): string[] {
  return [mount.readOnly ? '--ro-bind' : '--bind', mount.source, mount.target];
}

/** Inside the sandbox, because outside `nproc` would count all that the uid runs on the host. */
function limited({ limits, command }: ContainerSpec): string[] {
  return [
    ...['prlimit', `--nproc=${limits.processesMax}`, `--nofile=${limits.openFilesMax}`],
    ...[`--fsize=${limits.fileBytesMax}`, '--core=0', '--'],
    ...command,
  ];
}

function scopeArguments({ name, limits }: ContainerSpec): string[] {
  return [
    ...['--user', '--scope', '--quiet', '--collect', '--unit', name],
    ...['-p', `MemoryMax=${limits.memoryBytes}`, '-p', 'MemorySwapMax=0'],
    ...['-p', `TasksMax=${limits.processesMax}`, '-p', `CPUQuota=${limits.cpus * 100}%`],
    ...['--', 'env', '-i', `${markName}=${name}`],
  ];
}

/** Arguments go through a file descriptor: a command line shows in `ps` and in /proc/1. */
function feed(args: string[]): Buffer {
  return Buffer.from(`${args.join('\0')}\0`);
}
