/**
 * Containers by an engine with images: docker, podman and Apple's `container`. Builds no image.
 */
import { execFile } from 'node:child_process';
import type { ContainerSpec, Mount, Runtime } from '../src/container-spec.ts';

export type EngineName = 'docker' | 'podman' | 'apple-container';

const image = 'nanoclaw-agent';
const answerTimeoutMs = 2000;
const killTimeoutMs = 10_000;

/** The engine, if it is installed, answers and has our image. `environment` is the host's own. */
export async function findEngine(
  name: EngineName,
  environment: Record<string, string | undefined>,
): Promise<Runtime | undefined> {
  const isApple = name === 'apple-container';
  const file = isApple ? 'container' : name;
  const list = isApple ? ['list', '--all', '--quiet'] : ['ps', '--all', '--format', '{{.Names}}'];
  const remove = [isApple ? 'delete' : 'rm', '--force'];
  // What leads to the engine's daemon, and no secret.
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(environment))
    if (value && /^(PATH|HOME|XDG_|DOCKER_|CONTAINER)/.test(key)) env[key] = value;
  /** Its standard output; undefined when it fails or does not answer in time. */
  const ask = (args: string[], timeoutMs: number): Promise<string | undefined> =>
    new Promise((resolve) => {
      const options = { env, timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
      execFile(file, args, options, (error, stdout) => resolve(error ? undefined : stdout));
    });

  if ((await ask(['image', 'inspect', image], answerTimeoutMs)) === undefined) return undefined;
  return {
    name,
    describe: () => `${name}, image ${image}`,
    launch: (spec) => ({ file, args: engineArguments(name, spec), env, feeds: [] }),
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
export function engineArguments(name: EngineName, spec: ContainerSpec): string[] {
  const { limits } = spec;
  const memory = `${Math.floor(limits.memoryBytes / 1024 ** 2)}M`;
  const common = [
    ...['run', '--rm', '--interactive', '--name', spec.name, '--network', 'none'],
    ...['--read-only', '--cap-drop', 'ALL', '--user', `${spec.uid}:${spec.uid}`],
    ...['--workdir', spec.workDir, '--cpus', String(limits.cpus), '--memory', memory],
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
    ...['--security-opt', 'no-new-privileges', '--memory-swap', memory],
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
