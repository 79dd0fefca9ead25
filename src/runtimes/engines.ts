/**
 * Containers by an engine with images: docker, podman and Apple's `container`, the first two also
 * with gVisor (`+runsc`). Builds no image; never says of a limit that it holds where it does not.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { z } from 'zod';
import type { ContainerSpec, Mount, Runtime } from '../container-spec.ts';

const programs = {
  docker: 'docker',
  podman: 'podman',
  'apple-container': 'container',
  'docker+runsc': 'docker',
  'podman+runsc': 'podman',
};
export type EngineName = keyof typeof programs;

/** An engine as it is on this host. */
export interface Engine {
  name: EngineName;
  isRootless: boolean;
  /** Whether it can limit memory, processes and CPU; asked in vain, it would only warn. */
  canLimit: boolean;
  /** Whether it makes a read-only mount read-only all the way down. */
  sealsBelow: boolean;
  /** Where the host is not root, agents must be who it is, to write to their folders. */
  user: { uid: number; gid: number } | undefined;
  projectDir: string;
}

const image = 'nanoclaw-agent';
const answerTimeoutMs = 5000;
const killTimeoutMs = 10_000;
/** Podman's own is beyond what every machine lets even root ask for. */
const podmanProcessesMax = 4096;

/** The answers of docker and of podman to `info`, as far as they matter. */
const infoSchema = z.union([
  z.object({
    ServerVersion: z.string(),
    MemoryLimit: z.boolean(),
    SecurityOptions: z.array(z.string()).nullable(),
    Runtimes: z.record(z.string(), z.unknown()),
  }),
  z.object({
    host: z.object({ cgroupVersion: z.string(), security: z.object({ rootless: z.boolean() }) }),
  }),
]);

/** The engine as a runtime, or why it cannot be one. `environment` is the host's own. */
export async function findEngine(
  name: EngineName,
  projectDir: string,
  environment: Record<string, string | undefined>,
): Promise<Runtime | string> {
  const file = programs[name];
  // What leads to the engine's daemon, and no secret.
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(environment))
    if (value && /^(PATH|HOME|XDG_|DOCKER_|CONTAINER)/.test(key)) env[key] = value;
  let silence = 'it is not installed, or not running';
  const ask: Ask = (args, timeoutMs) =>
    new Promise((resolve) => {
      const options = { env, timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
      execFile(file, args, options, (error, stdout, stderr) => {
        if (args[0] === 'info' && stderr) silence = `it says "${stderr.trim().split('\n').at(-1)}"`;
        resolve(error ? undefined : stdout);
      });
    });

  const isApple = name === 'apple-container';
  const [found, info] = await Promise.all([
    ask(['image', 'inspect', image], answerTimeoutMs),
    ask(isApple ? ['system', 'status'] : ['info', '--format', '{{json .}}'], answerTimeoutMs),
  ]);
  if (info === undefined) return silence;
  if (found === undefined) return `it has no image ${image}: run npm run image`;
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
  const user = uid === 0 ? undefined : { uid, gid };
  const engine = { name, isRootless: false, canLimit: true, sealsBelow: isApple, user, projectDir };
  if (isApple) return openEngine(engine, env, ask);

  const facts = infoSchema.parse(JSON.parse(info));
  if ('host' in facts) {
    if (file === 'docker') return 'it is podman by the name of docker; ask for podman';
    const isRootless = facts.host.security.rootless;
    const canLimit = !isRootless || facts.host.cgroupVersion === 'v2';
    return openEngine({ ...engine, isRootless, canLimit }, env, ask);
  }
  if (facts.SecurityOptions?.includes('name=rootless'))
    return 'run without root, it lets nobody but its root write to the folders; use podman';
  if (name === 'docker+runsc' && !('runsc' in facts.Runtimes))
    return 'its daemon knows no runtime runsc';
  // From this version on; later ones refuse the option that leaves out what lies below.
  const sealsBelow = Number.parseInt(facts.ServerVersion, 10) >= 25;
  return openEngine({ ...engine, canLimit: facts.MemoryLimit, sealsBelow }, env, ask);
}

/** Standard output; undefined when the program fails or does not answer in time. */
type Ask = (args: string[], timeoutMs: number) => Promise<string | undefined>;

function openEngine(engine: Engine, env: Record<string, string>, ask: Ask): Runtime {
  const { name } = engine;
  const isApple = name === 'apple-container';
  const list = isApple ? ['list', '--all', '--quiet'] : ['ps', '--all', '--format', '{{.Names}}'];
  const remove = [isApple ? 'delete' : 'rm', '--force'];
  // It would ask the container to stop, and wait ten seconds.
  if (programs[name] === 'podman') remove.push('--time', '0');
  return {
    name,
    hasOwnKernel: isApple || name.endsWith('+runsc'),
    describe: () =>
      `${name}, image ${image}${engine.canLimit ? '' : ', with no limit on memory: that needs root, or cgroups version 2'}`,
    launch: (spec) => ({
      file: programs[name],
      args: engineArguments(engine, spec),
      env,
      feeds: [],
    }),
    kill: async (container) => {
      await ask([...remove, container], killTimeoutMs);
    },
    release: async () => {},
    reap: async (instance) => {
      const listed = (await ask(list, killTimeoutMs)) ?? '';
      const names = listed.split('\n').filter((line) => line.startsWith(`nanoclaw-${instance}-`));
      if (names.length > 0) await ask([...remove, ...names], killTimeoutMs);
      return names.length;
    },
  };
}

/** The arguments of `docker run` and its like; pure. */
export function engineArguments(engine: Engine, spec: ContainerSpec): string[] {
  const { limits } = spec;
  const { uid, gid } = engine.user ?? { uid: spec.uid, gid: spec.uid };
  const memory = `${Math.floor(limits.memoryBytes / 1024 ** 2)}M`;
  const common = [
    ...['run', '--rm', '--interactive', '--name', spec.name, '--network', 'none'],
    ...['--read-only', '--cap-drop', 'ALL', '--user', `${uid}:${gid}`],
    ...['--workdir', spec.workDir],
    ...['--ulimit', `nofile=${limits.openFilesMax}:${limits.openFilesMax}`],
    ...['--ulimit', `fsize=${limits.fileBytesMax}:${limits.fileBytesMax}`],
    ...['--ulimit', 'core=0:0'],
    ...spec.mounts.flatMap((mount) => ['--mount', mountOption(engine, mount)]),
    ...Object.entries(spec.env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ];
  const bounds = ['--cpus', String(limits.cpus), '--memory', memory];
  const command = [image, ...spec.command];
  if (engine.name === 'apple-container') {
    // A machine of its own bounds processes; its tmpfs takes no size, and memory bounds it.
    return [...common, ...bounds, '--tmpfs', '/tmp', ...command];
  }
  bounds.push('--memory-swap', memory, '--pids-limit', String(limits.processesMax));
  const dir = engine.projectDir;
  const source = join(dir, 'container/etc/resolv.conf');
  const resolver = { source, target: '/etc/resolv.conf', readOnly: true };
  return [
    ...common,
    ...(engine.canLimit ? bounds : []),
    ...['--pull', 'never', '--log-driver', 'none', '--hostname', 'nanoclaw'],
    ...['--ipc', 'private', '--shm-size', String(limits.shmBytesMax)],
    ...['--security-opt', 'no-new-privileges'],
    ...['--security-opt', `seccomp=${join(dir, 'dist/seccomp.json')}`],
    ...['--tmpfs', `/tmp:rw,exec,nosuid,nodev,mode=1777,size=${limits.tmpBytesMax}`],
    // Instead of the host's.
    ...['--mount', mountOption(engine, resolver)],
    ...(engine.name.endsWith('+runsc') ? ['--runtime', 'runsc'] : []),
    ...(programs[engine.name] === 'podman' ? podmanOptions(engine, spec) : dockerOptions()),
    ...command,
  ];
}

/** Docker's client adds the proxies of its settings, with their passwords, to each container. */
function dockerOptions(): string[] {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'ALL_PROXY', 'NO_PROXY'];
  return [...names, ...names.map((name) => name.toLowerCase())].flatMap((name) => [
    '--env',
    `${name}=`,
  ]);
}

/** Against what podman would add or leave: writable files and folders, the host's names, its limits. */
function podmanOptions(engine: Engine, { limits }: ContainerSpec): string[] {
  const processes = engine.canLimit ? podmanProcessesMax : limits.processesMax;
  return [
    ...[
      '--read-only-tmpfs=false',
      '--no-hosts',
      '--http-proxy=false',
      '--security-opt',
      'mask=/proc/pressure',
    ],
    // Of the user on the whole host; where the container itself is bounded, that is enough.
    ...['--ulimit', `nproc=${processes}:${processes}`],
    ...(engine.isRootless ? ['--userns', 'keep-id'] : []),
  ];
}

/**
 * `--mount` fails on a source that is missing; `--volume` would make it, owned by root. Where what
 * is mounted below a read-only folder would be writable, it stays out.
 */
function mountOption({ sealsBelow }: Engine, { source, target, readOnly }: Mount): string {
  const fields = ['type=bind', `source=${source}`, `target=${target}`];
  if (readOnly) fields.push('readonly', ...(sealsBelow ? [] : ['bind-nonrecursive=true']));
  // A line of CSV.
  return fields
    .map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field))
    .join(',');
}
