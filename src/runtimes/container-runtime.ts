/**
 * Which container runtime is used, and the proof that it seals. A container that fails the
 * proof is never given an agent.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ContainerSpec, Launch, Runtime } from '../container-spec.ts';
import { UserError } from '../types.ts';
import { openBubblewrap } from './bubblewrap.ts';
import { type EngineName, findEngine } from './engines.ts';

/** In the order in which they are tried; gVisor only when it is asked for. */
const engines: readonly EngineName[] = ['docker', 'podman', 'apple-container'];
const byName: readonly EngineName[] = [...engines, 'docker+runsc', 'podman+runsc'];
const selfTestTimeoutMs = 20_000;

/**
 * The runtime named `wanted`, or else the first of: an engine that has our image, bubblewrap.
 * Throws UserError, with the remedy, when there is none.
 */
export async function detectRuntime(
  wanted: string | null,
  projectDir: string,
  environment: Record<string, string | undefined>,
): Promise<Runtime> {
  if (wanted === 'bubblewrap') return openBubblewrap(projectDir);
  const names = wanted === null ? engines : byName.filter((name) => name === wanted);
  if (names.length === 0)
    throw new UserError(
      `NANOCLAW_RUNTIME is "${wanted}"; it can be bubblewrap, ${byName.join(', ')}.`,
    );
  const found = await Promise.all(names.map((name) => findEngine(name, projectDir, environment)));
  const engine = found.find((answer) => typeof answer !== 'string');
  if (engine !== undefined) return engine;
  if (process.platform === 'linux' && wanted === null) return openBubblewrap(projectDir);
  const reasons = names.map((name, index) => `${name}: ${found[index]}.`);
  throw new UserError(`No container runtime.\n${reasons.join('\n')}\nnpm run doctor tells more.`);
}

/**
 * Spawns the container with three pipes and hands over what it reads from further descriptors.
 * `cwd`: podman leaves a file named oom there when memory ended.
 */
export function spawnLaunch(launch: Launch, cwd = '/'): ChildProcessWithoutNullStreams {
  const child = spawn(launch.file, launch.args, {
    cwd,
    env: launch.env,
    stdio: ['pipe', 'pipe', 'pipe', ...launch.feeds.map(() => 'pipe' as const)],
    // A group of its own: Ctrl-C in the terminal is for the host to interpret.
    detached: true,
  }) as ChildProcessWithoutNullStreams;
  launch.feeds.forEach((bytes, index) => {
    const feed = child.stdio[3 + index] as Writable;
    // It ended before it read: its exit says why.
    feed.on('error', () => {});
    feed.end(bytes);
  });
  return child;
}

/**
 * Starts a container as an agent's would be and looks around inside.
 * `hidden` are paths of the host that must not be there.
 * Throws UserError that names every gap.
 */
export async function selfTest(
  runtime: Runtime,
  spec: Omit<ContainerSpec, 'command'>,
  hidden: string[],
): Promise<void> {
  const kernel = runtime.hasOwnKernel ? 'own' : 'shared';
  const command = ['sh', '-c', lookAround, kernel, ...hidden];
  const child = spawnLaunch(runtime.launch({ ...spec, command }));
  const timer = setTimeout(() => child.kill('SIGKILL'), selfTestTimeoutMs);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  // Engines print what they think of their own settings.
  const warnings = /^(WARNING:|time=).*\n?/gm;
  const report = await ended.then(
    ([output, errors]) => (output + errors.replace(warnings, '')).trim(),
    String,
  );
  clearTimeout(timer);
  await runtime.kill(spec.name);
  await runtime.release(spec.name);
  if (report !== 'sealed')
    throw new UserError(
      `A ${runtime.name} container is not sealed here, so no agent is started.\n${report || 'It does not answer.'}\n${remedy(report)}`,
    );
}

/**
 * Prints one line per gap, then `sealed`; mostly shell builtins, as it delays every start. Without
 * our filter, whoever owns a file can give it the set-user-ID bit.
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

/** What to do, by what a container said. */
export function remedy(report: string): string {
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
