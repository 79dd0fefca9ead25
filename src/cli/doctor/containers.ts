/**
 * The container runtimes: what is installed, what the host would choose, and the proof that a
 * container of it is sealed, by the very test that the host makes before it starts an agent.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, defaultLimits } from '../../config.ts';
import type { Runtime } from '../../container-spec.ts';
import { detectRuntime, remedy, selfTest } from '../../runtimes/container-runtime.ts';
import { findEngine } from '../../runtimes/engines.ts';
import { ask, type Check, type Finding, linesOf, missing, note, ok } from './finding.ts';

const image = 'nanoclaw-agent';
/** Of the first that can forbid containers inside the container. */
const bubblewrapMin = [0, 8];

const engines = {
  docker: {
    program: 'docker',
    question: ['info'],
    start: 'sudo systemctl start docker; and to use it without sudo: sudo usermod -aG docker $USER',
  },
  podman: { program: 'podman', question: ['info'], start: '`podman info` tells what it lacks.' },
  'apple-container': {
    program: 'container',
    question: ['system', 'status'],
    start: 'container system start',
  },
};

/** Below those of the groups, and beside that of a host's own probe. */
const probeUid = 199_998;
const smallestContainer = 'bwrap --unshare-all --unshare-user --ro-bind / / true';

/** On each system. The last two are gVisor, an engine's other kernel. */
const namesOn = {
  linux: ['docker', 'podman'],
  darwin: ['docker', 'podman', 'apple-container'],
} as const;
const gVisor = ['docker+runsc', 'podman+runsc'];

/** With `all` each runtime that is there has to prove that it seals, not only the chosen one. */
export async function containerChecks(config: Config, all: boolean): Promise<Check[]> {
  const isLinux = process.platform === 'linux';
  const names = isLinux ? namesOn.linux : namesOn.darwin;
  const found = await detectRuntime(config.runtime, config.projectDir, process.env).catch(
    (error: unknown) => ({ error }),
  );
  const choice = 'error' in found ? (config.runtime ?? 'bubblewrap') : found.name;
  const installed = names.map((name): Check => [name, () => engine(name, config)]);
  if (isLinux)
    installed.unshift(
      ['bubblewrap', () => bubblewrap(choice === 'bubblewrap' ? missing : note)],
      ['system calls', () => systemCallFilter(config.projectDir)],
    );
  if ('error' in found) return [...installed, ['runtime', () => Promise.reject(found.error)]];
  const known = ['bubblewrap', ...names, ...gVisor];
  const others = known.filter((name) => all && name !== found.name);
  return [
    ...installed,
    ['runtime', () => chosen(found, config)],
    ['seal', () => proof(found, config)],
    ...others.map((name): Check => [`seal ${name}`, () => otherProof(name, config)]),
    ['limits', () => limits(found)],
  ];
}

/** Looked for where the host would find it: it starts with an empty environment. */
async function bubblewrap(lacking: typeof missing): Promise<Finding> {
  const look = `for program in bwrap prlimit setpriv; do
    command -v $program >/dev/null || { echo "$program: not found"; exit 1; }
  done; exec bwrap --version`;
  const { isOk, text } = await ask('/bin/sh', ['-c', look], {});
  const install = 'sudo apt-get install bubblewrap util-linux   (or dnf, pacman, zypper, apk)';
  if (!isOk) return lacking(`not installed, or not whole (${text})`, install);
  const [major = 0, minor = 0] = (/\d+\.\d+/.exec(text)?.[0] ?? '').split('.').map(Number);
  const [majorMin = 0, minorMin = 0] = bubblewrapMin;
  if (major < majorMin || (major === majorMin && minor < minorMin))
    return lacking(`${text} is too old; it must be ${bubblewrapMin.join('.')} or newer`, install);
  const trial = await ask('/bin/sh', ['-c', `exec ${asAgent()} ${smallestContainer}`], {});
  return trial.isOk
    ? ok(text)
    : lacking(`${text}, which makes no container here (${trial.text})`, remedy(trial.text));
}

/** The host's root drops to an agent's uid first; any other user is that already. */
function asAgent(): string {
  return process.getuid?.() === 0
    ? `setpriv --reuid ${probeUid} --regid ${probeUid} --clear-groups --`
    : '';
}

/** Of scripts/, which is no TypeScript. */
interface AgentImage {
  hasImage(engine: string, projectDir: string): Promise<boolean>;
}

async function engine(
  name: keyof typeof engines,
  { runtime, projectDir }: Config,
): Promise<Finding> {
  const { program, question, start } = engines[name];
  const version = await ask(program, ['--version']);
  const isWanted = runtime?.startsWith(name) ?? false;
  if (!version.isInstalled)
    return isWanted
      ? note('not installed', `Install it, or take NANOCLAW_RUNTIME=${runtime} out again.`)
      : ok('not installed, and not needed');
  const answer = await ask(program, question);
  if (!answer.isOk) return note(`installed, but not usable: ${answer.text}`, start);
  const build = `NANOCLAW_RUNTIME=${name} npm run image`;
  if (!(await ask(program, ['image', 'inspect', image])).isOk)
    return note(`runs, without the image ${image}`, build);
  const { hasImage }: AgentImage = await import(join(projectDir, 'scripts/agent-image.mjs'));
  if (!(await hasImage(name, projectDir)))
    return note(`runs, with an image ${image} of other sources than these`, build);
  const found = await findEngine(name, projectDir, process.env);
  if (typeof found === 'string') return note('runs, and cannot be used', `${found}.`);
  return ok(`runs, with the image ${image}`);
}

function chosen(runtime: Runtime, { runtime: wanted }: Config): Finding {
  return ok(
    wanted === null
      ? `${runtime.name}, found by itself; NANOCLAW_RUNTIME would name another`
      : `${runtime.name}, as NANOCLAW_RUNTIME says`,
  );
}

let probes = 0;

/** Throws UserError, with the remedy, when it is not sealed. */
async function proof(runtime: Runtime, { projectDir, storeDir, dataDir }: Config) {
  probes += 1;
  const probe = {
    // Named after no host's state, so that none takes it for its own.
    name: `nanoclaw-doctor-${process.pid}-${probes}`,
    uid: probeUid,
    mounts: [],
    env: {},
    workDir: '/',
    limits: defaultLimits.container,
  };
  const startedMs = performance.now();
  await selfTest(runtime, probe, [storeDir, dataDir, join(projectDir, '.env')]);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(2);
  return ok(
    `a ${runtime.name} container was started, looked around in, and found sealed (${seconds} s)`,
  );
}

async function otherProof(name: string, config: Config): Promise<Finding> {
  let runtime: Runtime;
  try {
    runtime = await detectRuntime(name, config.projectDir, process.env);
  } catch (error) {
    return ok(`not tried: ${linesOf(error).at(-1)}`);
  }
  try {
    return await proof(runtime, config);
  } catch (error) {
    const [says = '', ...remedy] = linesOf(error);
    return note(says, remedy.join('\n'));
  }
}

/** What a container may use: of memory and processors not every runtime can bound it everywhere. */
function limits(runtime: Runtime): Finding {
  const { memoryBytes, processesMax, cpus } = defaultLimits.container;
  const [, lack, need] = /with (no limit .*): (.*)/.exec(runtime.describe()) ?? [];
  if (lack) return note(`${lack} and processors`, `For a limit: ${need}. Or use an engine.`);
  return ok(`${memoryBytes / 1024 ** 2} MB, ${cpus} processors, ${processesMax} processes each`);
}

/** Ours goes with bubblewrap; an engine has its own, and the proof says whether it is on. */
function systemCallFilter(projectDir: string): Finding {
  return existsSync(join(projectDir, 'dist/seccomp.bpf'))
    ? ok(`for ${process.arch}`)
    : note(`none for ${process.arch}, so bubblewrap cannot be used`, 'Use docker or podman.');
}
