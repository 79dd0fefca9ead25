/**
 * The container runtimes: what is installed, what the host would choose, and the proof that a
 * container of it is sealed, by the very test that the host makes before it starts an agent.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findCgroups } from '../../runtimes/cgroup.ts';
import { type Config, defaultLimits } from '../../src/config.ts';
import { detectRuntime, selfTest } from '../../src/container-runtime.ts';
import type { Runtime } from '../../src/container-spec.ts';
import { ask, type Check, type Finding, note, ok } from './finding.ts';

const image = 'nanoclaw-agent';
/** Of the first that can forbid containers inside the container. */
const bubblewrapMin = [0, 8];

interface Engine {
  program: string;
  question: string[];
  start: string;
}

const engines: Record<string, Engine> = {
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

/** With `all` each runtime that is there has to prove that it seals, not only the chosen one. */
export async function containerChecks(config: Config, all: boolean): Promise<Check[]> {
  const names = process.platform === 'linux' ? ['docker', 'podman'] : Object.keys(engines);
  const installed = names.map((name): Check => [name, () => engine(name, config)]);
  if (process.platform === 'linux')
    installed.unshift(
      ['bubblewrap', bubblewrap],
      ['system calls', () => systemCallFilter(config.projectDir)],
    );
  try {
    const runtime = await detectRuntime(config.runtime, config.projectDir, process.env);
    const others = ['bubblewrap', ...names].filter((name) => all && name !== runtime.name);
    return [
      ...installed,
      ['runtime', () => chosen(runtime, config)],
      ['seal', () => proof(runtime, config)],
      ...others.map((name): Check => [`seal ${name}`, () => otherProof(name, config)]),
      ['limits', () => limits(runtime)],
    ];
  } catch (error) {
    return [...installed, ['runtime', () => Promise.reject(error)]];
  }
}

/** Looked for where the host would find it: it starts with an empty environment. */
async function bubblewrap(): Promise<Finding> {
  const look = 'bwrap --version && command -v prlimit setpriv >/dev/null';
  const { isOk, text } = await ask('/bin/sh', ['-c', look], {});
  const install = 'sudo apt-get install bubblewrap util-linux   (or dnf, pacman, zypper, apk)';
  if (!isOk) return note(`not installed, or not whole (${text})`, install);
  const [major = 0, minor = 0] = (/\d+\.\d+/.exec(text)?.[0] ?? '').split('.').map(Number);
  const [majorMin = 0, minorMin = 0] = bubblewrapMin;
  if (major < majorMin || (major === majorMin && minor < minorMin))
    return note(`${text} is too old; it must be ${bubblewrapMin.join('.')} or newer`, install);
  return ok(text);
}

/** Of scripts/, which is no TypeScript. */
interface AgentImage {
  hasImage(engine: string, projectDir: string): Promise<boolean>;
}

async function engine(name: string, { runtime, projectDir }: Config): Promise<Finding> {
  const { program, question, start } = engines[name] as Engine;
  const version = await ask(program, ['--version']);
  const isWanted = runtime?.startsWith(name) ?? false;
  if (!version.isInstalled)
    return isWanted
      ? note('not installed', `Install it, or take NANOCLAW_RUNTIME=${runtime} out again.`)
      : ok('not installed, and not needed');
  const answer = await ask(program, question);
  if (!answer.isOk) return note(`installed, but not usable: ${answer.text}`, start);
  const build = 'npm run image';
  if (!(await ask(program, ['image', 'inspect', image])).isOk)
    return note(`runs, without the image ${image}`, build);
  const { hasImage }: AgentImage = await import(join(projectDir, 'scripts/agent-image.mjs'));
  if (!(await hasImage(name, projectDir)))
    return note(`runs, with an image ${image} of other sources than these`, build);
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
    // Below those of the groups, and beside that of a host's own probe.
    uid: 199_998,
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
  } catch {
    return ok('not tried: it is not there, as said above');
  }
  try {
    return await proof(runtime, config);
  } catch (error) {
    const [says = '', ...remedy] = String(error).split('\n');
    return note(says, remedy.join('\n'));
  }
}

/** On what a container may use; processes and files are always limited. */
async function limits({ name }: Runtime): Promise<Finding> {
  const { memoryBytes, processesMax, cpus } = defaultLimits.container;
  const some = `${processesMax} processes`;
  const all = ok(`${memoryBytes / 1024 ** 2} MB, ${cpus} processors and ${some} a container`);
  if (name === 'bubblewrap')
    return process.getuid?.() === 0 && findCgroups().length > 0
      ? all
      : note(
          `${some} a container, but no limit on memory and processors`,
          'Bubblewrap has none without root and cgroups that can be written. An engine has: docker, or podman.',
        );
  const without = await unlimited(name);
  return without === ''
    ? all
    : note(`${name} cannot limit here: ${without}`, 'cgroup version 2 has all of them.');
}

/** What the engine says that it cannot limit; empty when it can limit all. */
async function unlimited(name: string): Promise<string> {
  if (name.startsWith('docker')) {
    const format = '{{.MemoryLimit}} {{.CPUCfsQuota}} {{.PidsLimit}}';
    const { text } = await ask('docker', ['info', '--format', format]);
    const has = text.split(' ');
    return ['memory', 'processors', 'processes'].filter((_, i) => has[i] !== 'true').join(', ');
  }
  if (name.startsWith('podman')) {
    const format = '{{.Host.Security.Rootless}} {{.Host.CgroupsVersion}}';
    const { text } = await ask('podman', ['info', '--format', format]);
    return text === 'true v1' ? 'memory, processors and processes (no root, cgroup version 1)' : '';
  }
  return '';
}

/** Ours goes with bubblewrap; an engine has its own, and the proof says whether it is on. */
function systemCallFilter(projectDir: string): Finding {
  return existsSync(join(projectDir, 'dist/seccomp.bpf'))
    ? ok(`for ${process.arch}`)
    : note(`none for ${process.arch}, so bubblewrap cannot be used`, 'Use docker or podman.');
}
