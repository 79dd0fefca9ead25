/**
 * The container runtimes: what is installed, what the host would choose, and whether a container of
 * it is sealed, by the same proof that the host demands before it starts an agent.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, defaultLimits } from '../../config.ts';
import { ask } from '../../runtimes/ask.ts';
import { detectRuntime, hiddenPaths, proveSealed } from '../../runtimes/container-runtime.ts';
import type { Runtime } from '../../runtimes/container-spec.ts';
import {
  type EngineName,
  engineNames,
  findEngine,
  imageName,
  usualEngines,
} from '../../runtimes/engines.ts';
import { imageInputs } from '../../runtimes/image.ts';
import { agentPrograms, bubblewrapPrograms, runtimes } from '../../runtimes/table.mjs';
import { type Check, type Finding, linesOf, missing, note, ok } from './finding.ts';

/** Of scripts/, which is no TypeScript. */
interface SetUp {
  agentPackages(): string[];
  installCommand(packages: string[]): string | undefined;
}

/** With `all` each runtime that is there has to prove that it seals, not only the chosen one. */
export async function containerChecks(config: Config, all: boolean): Promise<Check[]> {
  const isLinux = process.platform === 'linux';
  const found = await detectRuntime(config.runtime, config.projectDir, process.env).catch(
    (error: unknown) => ({ error }),
  );
  const choice = 'error' in found ? (config.runtime ?? 'bubblewrap') : found.name;
  const installed = usualEngines.map((name): Check => [name, () => engine(name, config)]);
  if (isLinux)
    installed.unshift(
      ['bubblewrap', () => bubblewrap(choice === 'bubblewrap' ? missing : note)],
      ['system calls', () => systemCallFilter(config.projectDir)],
    );
  if ('error' in found) return [...installed, ['runtime', () => Promise.reject(found.error)]];
  const gVisor = engineNames.filter((name) => runtimes[name].hasGVisor);
  const known = ['bubblewrap', ...usualEngines, ...gVisor];
  const others = known.filter((name) => all && name !== found.name);
  return [
    ...installed,
    ['runtime', () => chosen(found, config)],
    ['seal', () => proof(found, config)],
    ...(found.name === 'bubblewrap' ? [['programs', () => programs(config)] satisfies Check] : []),
    ...others.map((name): Check => [`seal ${name}`, () => otherProof(name, config)]),
  ];
}

/** Looks where the host would: the host starts bubblewrap with an empty environment. */
async function bubblewrap(lacking: typeof missing): Promise<Finding> {
  const { program, question, remedy } = runtimes.bubblewrap;
  const look = `for program in ${bubblewrapPrograms.join(' ')}; do
    command -v $program >/dev/null || { echo "$program: not found"; exit 1; }
  done; exec ${program} ${question.join(' ')}`;
  const { outcome, text } = await ask('/bin/sh', ['-c', look], { env: {} });
  return outcome === 'ok' ? ok(text) : lacking(`not installed, or not whole (${text})`, remedy);
}

async function engine(name: EngineName, config: Config): Promise<Finding> {
  const wanted = config.runtime;
  const { answer, image, runtime } = await findEngine(name, config.projectDir, process.env);
  if (answer.outcome === 'absent')
    return wanted?.startsWith(name)
      ? note('not installed', `Install it, or take NANOCLAW_RUNTIME=${wanted} out again.`)
      : ok('not installed, and not needed');
  if (answer.outcome !== 'ok')
    return note(`installed, but not usable: ${answer.text}`, runtimes[name].remedy);
  const build = `NANOCLAW_RUNTIME=${name} npm run image`;
  if (image === null) return note(`runs, without the image ${imageName}`, build);
  if (!image.includes(imageInputs(config)))
    return note(`runs, with an image ${imageName} of other sources than these`, build);
  if (typeof runtime === 'string') return note('runs, and cannot be used', `${runtime}.`);
  return ok(`runs, with the image ${imageName}`);
}

function chosen(runtime: Runtime, { runtime: wanted }: Config): Finding {
  const how =
    wanted === null
      ? 'found by itself; NANOCLAW_RUNTIME would name another'
      : 'as NANOCLAW_RUNTIME says';
  return ok(`${how}: ${runtime.describe()}`);
}

/** Throws UserError, with the remedy, when it is not sealed. */
async function proof(runtime: Runtime, config: Config) {
  const startedMs = performance.now();
  await proveSealed(runtime, { limits: defaultLimits.container, hidden: hiddenPaths(config) });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(2);
  return ok(
    `a ${runtime.name} container was started, looked around in, and found sealed (${seconds} s)`,
  );
}

/** In bubblewrap, agents have this machine's programs. An image has its own. */
async function programs({ projectDir }: Config): Promise<Finding> {
  const { agentPackages, installCommand }: SetUp = await import(
    join(projectDir, 'scripts/packages.mjs')
  );
  const lacking = agentPackages();
  if (lacking.length === 0) return ok(`agents have ${Object.keys(agentPrograms).join(', ')}`);
  const says = `agents have only this machine's, which lacks ${lacking.join(', ')}`;
  return note(says, installCommand(lacking) ?? 'Install what you want them to have.');
}

async function otherProof(name: string, config: Config): Promise<Finding> {
  let runtime: Runtime;
  try {
    runtime = await detectRuntime(name, config.projectDir, process.env);
  } catch (error) {
    const [says, reason = says] = linesOf(error);
    return ok(`not tried: ${reason}`);
  }
  try {
    return await proof(runtime, config);
  } catch (error) {
    const [says = '', ...remedy] = linesOf(error);
    return note(says, remedy.join('\n'));
  }
}

/** For bubblewrap. Whether an engine applies its filter is a question for the proof. */
function systemCallFilter(projectDir: string): Finding {
  return existsSync(join(projectDir, 'dist/seccomp.bpf'))
    ? ok(`for ${process.arch}`)
    : note(`none for ${process.arch}, so bubblewrap cannot be used`, 'Use docker or podman.');
}
