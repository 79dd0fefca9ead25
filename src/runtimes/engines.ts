/**
 * Containers by an engine with images: docker, podman and Apple's `container`.
 * The command lines are pure functions of the container. Builds and pulls no image.
 */
import type { ContainerSpec, Mount, Runtime } from './contract.ts';
import { ask, type Environment, findProgram } from './programs.ts';

export type EngineName = 'docker' | 'podman' | 'apple-container';

const image = 'nanoclaw-agent';
const label = 'nanoclaw.instance';
/** An engine whose daemon hangs is passed over after this. */
const answerTimeoutMs = 2000;
const killTimeoutMs = 10_000;

/** The engine, if it is installed, answers and has our image. */
export async function findEngine(
  name: EngineName,
  environment: Environment,
): Promise<Runtime | undefined> {
  const file = findProgram(name === 'apple-container' ? 'container' : name, environment);
  if (file === undefined) return undefined;
  const found = await ask(file, ['image', 'inspect', image], environment, answerTimeoutMs);
  return found === undefined ? undefined : openEngine(name, file, environment);
}

function openEngine(name: EngineName, file: string, environment: Environment): Runtime {
  const env = Object.fromEntries(
    Object.entries(environment).filter(([key]) => /^(PATH|HOME|XDG_|DOCKER_|CONTAINER)/.test(key)),
  ) as Record<string, string>;
  return {
    name,
    describe: () => `${name}, image ${image}`,
    launch: (spec) => ({ file, args: engineArguments(name, spec), env, feeds: [] }),
    kill: async (container) => {
      await ask(file, removeArguments(name, [container]), env, killTimeoutMs);
    },
    release: async () => {},
    reap: async (instance) => {
      const output = (await ask(file, listArguments(name, instance), env, killTimeoutMs)) ?? '';
      const prefix = `nanoclaw-${instance}-`;
      const names = output.split('\n').filter((line) => line.startsWith(prefix));
      if (names.length > 0) await ask(file, removeArguments(name, names), env, killTimeoutMs);
      return names.length;
    },
  };
}

/** The arguments of `docker run` and its like; pure. */
export function engineArguments(name: EngineName, spec: ContainerSpec): string[] {
  const { limits } = spec;
  const common = [
    ...['run', '--rm', '--interactive', '--name', spec.name],
    ...['--label', `${label}=${spec.instance}`, '--network', 'none'],
    ...['--read-only', '--cap-drop', 'ALL', '--user', `${spec.uid}:${spec.uid}`],
    ...['--workdir', spec.workDir, '--cpus', String(limits.cpus)],
    ...['--memory', `${Math.floor(limits.memoryBytes / 1024 ** 2)}M`],
    ...['--ulimit', `nofile=${limits.openFilesMax}:${limits.openFilesMax}`],
    ...['--ulimit', `fsize=${limits.fileBytesMax}:${limits.fileBytesMax}`],
    ...['--ulimit', 'core=0:0'],
    ...spec.mounts.flatMap((mount) => ['--mount', mountOption(mount)]),
    ...Object.entries(spec.env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
  ];
  const command = [image, ...spec.command];
  if (name === 'apple-container') {
    // A machine of its own bounds processes; its tmpfs takes no size, and memory bounds it.
    return [...common, '--tmpfs', '/tmp', ...command];
  }
  return [
    ...common,
    ...['--pull', 'never', '--init', '--log-driver', 'none', '--ipc', 'none'],
    ...['--security-opt', 'no-new-privileges'],
    ...['--memory-swap', `${Math.floor(limits.memoryBytes / 1024 ** 2)}M`],
    ...['--pids-limit', String(limits.processesMax)],
    ...['--tmpfs', `/tmp:rw,nosuid,nodev,size=${limits.tmpBytesMax}`],
    ...(name === 'podman' ? ['--read-only-tmpfs=false', '--userns', 'keep-id'] : []),
    ...command,
  ];
}

/** `--mount` fails on a source that is missing; `--volume` would make it, owned by root. */
function mountOption({ source, target, readOnly }: Mount): string {
  const option = `type=bind,source=${source},target=${target}`;
  return readOnly ? `${option},readonly` : option;
}

function listArguments(name: EngineName, instance: string): string[] {
  return name === 'apple-container'
    ? ['list', '--all', '--quiet']
    : ['ps', '--all', '--filter', `label=${label}=${instance}`, '--format', '{{.Names}}'];
}

function removeArguments(name: EngineName, names: string[]): string[] {
  return [name === 'apple-container' ? 'delete' : 'rm', '--force', ...names];
}
