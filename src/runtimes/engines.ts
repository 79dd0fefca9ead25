/**
 * Containers by an engine with images: docker, podman and Apple's `container`, the first two also
 * with gVisor (`+runsc`). Builds no image, and never claims a limit that the engine does not enforce.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Answer, ask } from './ask.ts';
import type { ContainerSpec, Mount, Runtime } from './container-spec.ts';
import { runtimes } from './table.mjs';

export type EngineName = Exclude<keyof typeof runtimes, 'bubblewrap'>;

export const engineNames = Object.keys(runtimes).filter(
  (name): name is EngineName => name !== 'bubblewrap',
);

/** The names that are tried on this system when NANOCLAW_RUNTIME names none. */
export const usualEngines = engineNames.filter((name) =>
  runtimes[name].systems.includes(process.platform),
);

/** An engine as it is on this host. */
export interface Engine {
  name: EngineName;
  isRootless: boolean;
  /** Whether it can limit memory, processes and CPU. Where it cannot, it would only warn. */
  canLimit: boolean;
  /** Whether a read-only mount also makes the mounts below it read-only. */
  sealsBelow: boolean;
  /** The host's user where that is not root: agents need its uid to write to their folders. */
  user: { uid: number; gid: number } | undefined;
  projectDir: string;
}

export const imageName = 'nanoclaw-agent';
/** Holds a hash of what the image was made from. */
export const imageLabel = 'nanoclaw.inputs';
const killTimeoutMs = 10_000;
const reapRoundsMax = 50;
const reapRoundMs = 100;
/** Podman's default is more than some systems let even root ask for. */
const podmanProcessesMax = 4096;

/** What docker and podman answer to `info`, as far as it matters. */
const infoSchema = z.union([
  z.object({ ServerErrors: z.tuple([z.string()], z.string()) }),
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

export interface FoundEngine {
  /** To the question of the table. */
  answer: Answer;
  /** What the label of its image says; null without an image. */
  image: string | null;
  /** The engine as a runtime, or why it cannot be one. */
  runtime: Runtime | string;
}

/** Looks for an engine and its image. `environment` is the host's own. */
export async function findEngine(
  name: EngineName,
  projectDir: string,
  environment: NodeJS.Dict<string>,
): Promise<FoundEngine> {
  const { program, question } = runtimes[name];
  // What leads to the engine's daemon, and no secret.
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(environment))
    if (value && /^(PATH|HOME|XDG_|DOCKER_|CONTAINER)/.test(key)) env[key] = value;
  const isApple = name === 'apple-container';
  const inJson = isApple ? [] : ['--format', '{{json .}}'];
  const byLabel = isApple ? [] : ['--format', `{{index .Config.Labels "${imageLabel}"}}`];
  const [info, inspected] = await Promise.all([
    ask(program, [...question, ...inJson], { env }),
    ask(program, ['image', 'inspect', ...byLabel, imageName], { env }),
  ]);
  const facts = readInfo(info);
  // Some versions of docker exit with 0 although their daemon does not answer.
  const isAway = facts !== undefined && 'ServerErrors' in facts;
  const answer: Answer = isAway ? { outcome: 'failed', text: facts.ServerErrors[0] } : info;
  const image = inspected.outcome === 'ok' ? inspected.text : null;
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
  const user = uid === 0 ? undefined : { uid, gid };
  const plain = { name, isRootless: false, canLimit: true, sealsBelow: isApple, user, projectDir };
  const engine = lackOf(answer, image) ?? (isApple ? plain : withFacts(plain, facts));
  return { answer, image, runtime: typeof engine === 'string' ? engine : open(engine, env) };
}

type Facts = z.infer<typeof infoSchema> | undefined;

function readInfo({ outcome, text }: Answer): Facts {
  try {
    return outcome === 'ok' ? infoSchema.parse(JSON.parse(text)) : undefined;
  } catch {
    return undefined; // SyntaxError, ZodError: a version that we do not know
  }
}

function lackOf({ outcome, text }: Answer, image: string | null): string | undefined {
  if (outcome === 'failed') return `it says "${text}"`;
  if (outcome !== 'ok') return 'it is not installed, or not running';
  return image === null ? `it has no image ${imageName}: run npm run image` : undefined;
}

/** The engine with what its answer says of it, or why it cannot be used. */
function withFacts(engine: Engine, facts: Facts): Engine | string {
  if (facts === undefined || 'ServerErrors' in facts) return 'its answer cannot be read';
  if ('host' in facts) {
    if (runtimes[engine.name].program === 'docker')
      return 'it is podman by the name of docker; ask for podman';
    const isRootless = facts.host.security.rootless;
    return { ...engine, isRootless, canLimit: !isRootless || facts.host.cgroupVersion === 'v2' };
  }
  if (facts.SecurityOptions?.includes('name=rootless'))
    return 'run without root, it lets nobody but its root write to the folders; use podman';
  if (engine.name === 'docker+runsc' && !('runsc' in facts.Runtimes))
    return 'its daemon knows no runtime runsc';
  // Version 25 seals them, and later ones refuse the option that leaves them out.
  const sealsBelow = Number.parseInt(facts.ServerVersion, 10) >= 25;
  return { ...engine, canLimit: facts.MemoryLimit, sealsBelow };
}

function open(engine: Engine, env: Record<string, string>): Runtime {
  const { name, canLimit } = engine;
  const { program, hasGVisor } = runtimes[name];
  const isApple = name === 'apple-container';
  const list = isApple ? ['list', '--all', '--quiet'] : ['ps', '--all', '--format', '{{.Names}}'];
  const remove = [isApple ? 'delete' : 'rm', '--force'];
  // Without it podman asks the container to stop, and waits ten seconds.
  if (program === 'podman') remove.push('--time', '0');
  const order = (args: string[]) => ask(program, args, { env, timeoutMs: killTimeoutMs });
  return {
    name,
    hasOwnKernel: isApple || hasGVisor,
    describe: () =>
      `${name}, image ${imageName}${canLimit ? '' : ', with no limit on memory: that needs root, or cgroups version 2'}`,
    launch: (spec) => ({ file: program, args: engineArguments(engine, spec), env, feeds: [] }),
    kill: async (container) => {
      await order([...remove, container]);
    },
    release: async () => {},
    reap: async (instance) => {
      const isOurs = (name: string) => name.startsWith(`nanoclaw-${instance}-`);
      const listOurs = async () => (await order(list)).text.split('\n').filter(isOurs);
      let names = await listOurs();
      const { length } = names;
      // A container that ended by itself is being removed already: the engine says so, and goes on.
      for (let round = 1; names.length > 0 && round <= reapRoundsMax; round += 1) {
        await order([...remove, ...names]);
        names = await listOurs();
        if (names.length > 0) await sleep(reapRoundMs);
      }
      return length;
    },
  };
}

/** The arguments of `docker run` and its like; pure. Each row is an option with its value. */
export function engineArguments(engine: Engine, spec: ContainerSpec): string[] {
  const { limits } = spec;
  const { uid, gid } = engine.user ?? { uid: spec.uid, gid: spec.uid };
  const memory = `${Math.floor(limits.memoryBytes / 1024 ** 2)}M`;
  const common = [
    ['run', '--rm', '--interactive'],
    ['--name', spec.name],
    ['--network', 'none'],
    ['--read-only'],
    ['--cap-drop', 'ALL'],
    ['--user', `${uid}:${gid}`],
    ['--workdir', spec.workDir],
    ['--ulimit', `nofile=${limits.openFilesMax}:${limits.openFilesMax}`],
    ['--ulimit', `fsize=${limits.fileBytesMax}:${limits.fileBytesMax}`],
    ['--ulimit', 'core=0:0'],
    ...spec.mounts.map((mount) => ['--mount', mountOption(engine, mount)]),
    ...Object.entries(spec.env).map(([key, value]) => ['--env', `${key}=${value}`]),
  ];
  const bounds = [
    ['--cpus', String(limits.cpus)],
    ['--memory', memory],
  ];
  const command = [imageName, ...spec.command];
  if (engine.name === 'apple-container') {
    // Each container is a machine, which bounds its processes. Its tmpfs takes no size: memory is the limit.
    return [...common, ...bounds, ['--tmpfs', '/tmp'], command].flat();
  }
  bounds.push(['--memory-swap', memory], ['--pids-limit', String(limits.processesMax)]);
  const { program, hasGVisor } = runtimes[engine.name];
  const dir = engine.projectDir;
  const source = join(dir, 'container/etc/resolv.conf');
  const resolver = { source, target: '/etc/resolv.conf', readOnly: true };
  return [
    ...common,
    ...(engine.canLimit ? bounds : []),
    ['--pull', 'never'],
    ['--log-driver', 'none'],
    ['--hostname', 'nanoclaw'],
    ['--ipc', 'private'],
    ['--shm-size', String(limits.shmBytesMax)],
    ['--security-opt', 'no-new-privileges'],
    ['--security-opt', `seccomp=${join(dir, 'dist/seccomp.json')}`],
    ['--tmpfs', `/tmp:rw,exec,nosuid,nodev,mode=1777,size=${limits.tmpBytesMax}`],
    // In place of the host's.
    ['--mount', mountOption(engine, resolver)],
    hasGVisor ? ['--runtime', 'runsc'] : [],
    program === 'podman' ? podmanOptions(engine, spec) : dockerOptions(),
    command,
  ].flat();
}

/** Docker's client adds the proxies of its settings, with their passwords, to each container. */
function dockerOptions(): string[] {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'ALL_PROXY', 'NO_PROXY'];
  const both = [...names, ...names.map((name) => name.toLowerCase())];
  return both.flatMap((name) => ['--env', `${name}=`]);
}

/** Against podman's defaults (writable folders, names, limits), and hides what docker cannot. */
function podmanOptions(engine: Engine, { limits }: ContainerSpec): string[] {
  // `nproc` counts the uid's processes on the whole host. Where --pids-limit holds, it need not be low.
  const processesMax = engine.canLimit ? podmanProcessesMax : limits.processesMax;
  return [
    ['--read-only-tmpfs=false', '--no-hosts', '--http-proxy=false'],
    ['--security-opt', 'mask=/proc/pressure:/sys'],
    ['--ulimit', `nproc=${processesMax}:${processesMax}`],
    engine.isRootless ? ['--userns', 'keep-id'] : [],
  ].flat();
}

/**
 * `--mount` fails on a source that is missing; `--volume` would create it, owned by root. Where
 * mounts below a read-only folder would stay writable, they are left out.
 */
function mountOption({ sealsBelow }: Engine, { source, target, readOnly }: Mount): string {
  const fields = ['type=bind', `source=${source}`, `target=${target}`];
  if (readOnly) fields.push('readonly');
  if (readOnly && !sealsBelow) fields.push('bind-nonrecursive=true');
  // The option is one line of CSV.
  return fields
    .map((field) => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field))
    .join(',');
}
