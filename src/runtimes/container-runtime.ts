/**
 * Which container runtime is used, and the proof that it seals. A runtime that fails the proof is
 * never given an agent.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Config } from '../config.ts';
import { UserError } from '../types.ts';
import { openBubblewrap } from './bubblewrap.ts';
import type { ContainerLimits, Launch, Mount, Runtime } from './container-spec.ts';
import { engineNames, findEngine, usualEngines } from './engines.ts';

const proofTimeoutMs = 20_000;
/** Below those of the groups. */
const probeUid = 199_999;

/**
 * The runtime named `wanted`, or else the first of: an engine that has our image, bubblewrap.
 * Throws UserError, with the remedy, when there is none.
 */
export async function detectRuntime(
  wanted: string | null,
  projectDir: string,
  environment: NodeJS.Dict<string>,
): Promise<Runtime> {
  if (wanted === 'bubblewrap') return openBubblewrap(projectDir);
  const names = wanted === null ? usualEngines : engineNames.filter((name) => name === wanted);
  if (names.length === 0)
    throw new UserError(
      `NANOCLAW_RUNTIME is "${wanted}"; it can be bubblewrap, ${engineNames.join(', ')}.`,
    );
  const found = await Promise.all(names.map((name) => findEngine(name, projectDir, environment)));
  const engine = found.map(({ runtime }) => runtime).find((runtime) => typeof runtime !== 'string');
  if (engine !== undefined) return engine;
  if (process.platform === 'linux' && wanted === null) return openBubblewrap(projectDir);
  const reasons = names.map((name, index) => `${name}: ${found[index]?.runtime}.`);
  throw new UserError(`No container runtime.\n${reasons.join('\n')}\nnpm run doctor tells more.`);
}

/**
 * Starts the container with three pipes, and writes what it reads from further descriptors.
 * `cwd`: podman leaves a file named oom there when the memory limit ended it.
 */
export function spawnLaunch(launch: Launch, cwd = '/'): ChildProcessWithoutNullStreams {
  const child = spawn(launch.file, launch.args, {
    cwd,
    env: launch.env,
    stdio: ['pipe', 'pipe', 'pipe', ...launch.feeds.map(() => 'pipe' as const)],
    // A process group of its own, so that Ctrl-C in the terminal reaches only the host.
    detached: true,
  }) as ChildProcessWithoutNullStreams;
  launch.feeds.forEach((bytes, index) => {
    const feed = child.stdio[3 + index] as Writable;
    // EPIPE: the container ended before it read. Its exit says why.
    feed.on('error', () => {});
    feed.end(bytes);
  });
  return child;
}

export interface Proof {
  /** The container's; without one, a name that no host takes for its own. */
  name?: string;
  limits: ContainerLimits;
  mounts?: Mount[];
  /** Paths of the host that must not be there. */
  hidden: string[];
}

/**
 * Starts a container as an agent's would be and looks around inside. Throws UserError that names
 * every gap.
 */
export async function proveSealed(
  runtime: Runtime,
  { name = `nanoclaw-probe-${randomUUID()}`, limits, mounts = [], hidden }: Proof,
): Promise<void> {
  const kernel = runtime.hasOwnKernel ? 'own' : 'shared';
  const command = ['sh', '-c', lookAround, kernel, ...hidden];
  const spec = { name, uid: probeUid, mounts, env: {}, workDir: '/', command, limits };
  const child = spawnLaunch(runtime.launch(spec));
  const timer = setTimeout(() => child.kill('SIGKILL'), proofTimeoutMs);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  // Engines warn of their own settings.
  const warnings = /^(WARNING:|time=).*\n?/gm;
  const report = await ended.then(
    ([output, errors]) => (output + errors.replace(warnings, '')).trim(),
    String,
  );
  clearTimeout(timer);
  await runtime.kill(name);
  await runtime.release(name);
  if (report !== 'sealed')
    throw new UserError(
      `A ${runtime.name} container is not sealed here, so no agent is started.\n${report || 'It does not answer.'}\n${remedyFor(report)}`,
    );
}

/** What of the host no agent may see. */
export function hiddenPaths({ storeDir, dataDir, projectDir }: Config): string[] {
  return [storeDir, dataDir, join(projectDir, '.env')];
}

/**
 * Prints one line per gap, then `sealed`. Mostly shell builtins, because it delays every start.
 * The set-user-ID bit tells our filter from another: only ours forbids it to a file's owner.
 */
const lookAround = `
while read -r key value _; do case $key in
  Uid:) [ "$value" != 0 ] || echo 'It runs as root.' ;;
  Cap*) [ "$value" = 0000000000000000 ] || echo "It has capabilities ($key $value)." ;;
  NoNewPrivs:) [ "$value" = 1 ] || echo 'It can gain privileges.' ;;
  Seccomp:) [ "$0" = own ] || [ "$value" = 2 ] || echo 'No filter on system calls.' ;;
esac; done </proc/self/status
while read -r name _; do case $name in
  lo:*|*\\|*|face) ;; *) echo "It has the network interface $name" ;;
esac; done </proc/net/dev
for folder in / /usr /etc /dev /opt /workspace /run /var; do
  if (: >"$folder/.probe") 2>/dev/null; then
    rm -f "$folder/.probe"
    echo "$folder is writable."
  fi
done
settings=$0
while read -r _ _ _ _ path options _; do case $options:$path in
  ro*:/proc/sys) settings=own ;;
  ro*|*:/tmp|*:/proc|*:/proc/*|*:/dev|*:/dev/*|*:/sys/fs/cgroup) ;;
  *) [ "$0$path" = own/sys ] || echo "$path is mounted writable." ;;
esac; done </proc/self/mountinfo
[ "$settings" = own ] || echo "Its kernel's settings are not read-only."
: >/tmp/.probe
if [ "$0" = shared ] && chmod u+s /tmp/.probe 2>/dev/null; then echo 'Its filter on system calls is not ours.'; fi
rm -f /tmp/.probe
for path in "$@"; do [ ! -e "$path" ] || echo "It sees $path of the host."; done
if grep -qa -e ANTHROPIC -e CLAUDE /proc/1/environ; then echo 'It sees the environment of the host.'; fi
if [ "$0" = shared ] && unshare --user true 2>/dev/null; then echo 'It can make user namespaces.'; fi
echo sealed`;

/** What to do about what a container said. */
function remedyFor(report: string): string {
  if (/not found|Unknown option/i.test(report))
    return 'Install bubblewrap 0.8 or newer: sudo apt-get install bubblewrap (or dnf, pacman, apk).';
  if (/namespace|uid map|Operation not permitted/i.test(report))
    return [
      'This system keeps ordinary programs from making namespaces. Allow it for bubblewrap.',
      'Ubuntu: sudo apt-get install apparmor-profiles',
      '  sudo ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/',
      '  sudo systemctl reload apparmor',
      'Others: sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000',
    ].join('\n');
  return 'Set NANOCLAW_RUNTIME to another runtime, or repair this one.';
}
