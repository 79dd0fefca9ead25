/**
 * The image of the agents' containers, for engines that have images: whether it is up to date, and
 * its building. A label holds a hash of what it was made from. Makes no base image: that is fetched.
 * Removes no image but those that it replaces.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { UserError } from '../types.ts';
import { ask, askAloud } from './ask.ts';
import {
  type EngineName,
  engineNames,
  findEngine,
  imageLabel,
  imageName,
  usualEngines,
} from './engines.ts';
import { findProgram, runtimes } from './table.mjs';

type Project = Pick<Config, 'projectDir' | 'runtime' | 'imageBase'>;

const inputs = ['Dockerfile', '.dockerignore', 'etc/passwd', 'etc/group', 'etc/hosts'];

/** Podman would raise these limits, which some systems forbid even root; one layer is faster. */
const podmanOptions = ['--layers=false', '--ulimit=nofile=1024:1024', '--ulimit=nproc=4096:4096'];

/** Progress goes to standard error: standard output belongs to the chat. */
function say(line: string): void {
  process.stderr.write(`nanoclaw: ${line}\n`);
}

/** A runtime's engine, which has the image; undefined when the runtime has none. */
export function engineOf(runtime: string): EngineName | undefined {
  return engineNames.find((name) => name === runtime.replace(/\+runsc$/, ''));
}

/** Engines that the image may be for: the one that is named, or those whose client is installed. */
function candidatesFor({ runtime }: Project): EngineName[] {
  if (runtime === null) return usualEngines.filter((name) => findProgram(runtimes[name].program));
  const named = engineOf(runtime);
  return named ? [named] : [];
}

/** Changes with everything that the image is made from. */
export function imageInputs({ projectDir, imageBase }: Project): string {
  const hash = createHash('sha256').update(`${imageBase ?? ''}\0`);
  for (const name of inputs)
    hash.update(readFileSync(join(projectDir, 'container', name))).update('\0');
  return hash.digest('hex').slice(0, 16);
}

/**
 * Whether nothing is to be done about the image, as far as files tell. What was done last is noted
 * in dist/, so that no start asks an engine twice or repeats a build that failed.
 */
export function isImageSettled(project: Project): boolean {
  const candidates: string[] = candidatesFor(project);
  if (candidates.length === 0) return true;
  const { hash, engine = '', outcome } = readNote(project);
  const isDone = outcome === 'built' || project.runtime === null;
  return hash === imageInputs(project) && candidates.includes(engine) && isDone;
}

/** Says, when all is settled, that agents run in another image than they should, or in none. */
export function remindOfFailure(project: Project): void {
  const { engine = '', outcome } = readNote(project);
  const candidates: string[] = candidatesFor(project);
  if (outcome === 'failed' && candidates.includes(engine))
    say(`the image of ${engine} is not up to date: \`npm run image\` tells why, and tries again.`);
}

/**
 * Builds the image if an engine answers whose image is missing or not up to date. When that fails
 * and agents can run elsewhere, it says so. Throws UserError when NANOCLAW_RUNTIME names the engine.
 */
export async function ensureImage(project: Project): Promise<void> {
  const { engine } = await findAnswering(project, candidatesFor(project));
  if (!engine) return;
  if (engine.image?.includes(imageInputs(project))) return writeNote(project, engine.name, 'built');
  const isNamed = project.runtime !== null;
  try {
    // Where agents can run without it, one line of what the engine says is enough.
    await buildImage(engine.name, project, isNamed);
  } catch (error) {
    if (isNamed || !(error instanceof UserError)) throw error;
    writeNote(project, engine.name, 'failed');
    say(`the image of ${engine.name} was not built (${error.message.split('\n')[0]})`);
    say('until `npm run image` succeeds, agents run in what there is.');
  }
}

/** The first engine that answers, and why those before it do not. */
export async function findAnswering({ projectDir }: Project, names: readonly EngineName[]) {
  const complaints: string[] = [];
  for (const name of names) {
    const found = await findEngine(name, projectDir, process.env);
    if (found.answer.outcome === 'ok') return { engine: { name, ...found }, complaints };
    complaints.push(`${name}: ${found.answer.text}`);
  }
  return { complaints };
}

function readNote({ projectDir }: Project) {
  const path = join(projectDir, 'dist/image');
  const note = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const [hash, engine, outcome] = note.split(' ');
  return { hash, engine, outcome };
}

function writeNote(project: Project, engine: EngineName, outcome: 'built' | 'failed'): void {
  const note = [imageInputs(project), engine, outcome].join(' ');
  writeFileSync(join(project.projectDir, 'dist/image'), note);
}

/**
 * Builds the image, and removes those that it replaces. Aloud, the engine's own output goes to
 * standard error. Throws UserError with what failed and what to do.
 */
export async function buildImage(
  engine: EngineName,
  project: Project,
  isAloud: boolean,
): Promise<void> {
  const { program } = runtimes[engine];
  const step = (args: string[]) =>
    isAloud ? askAloud(program, args) : ask(program, args, { timeoutMs: 0 });
  const startedMs = performance.now();
  say(`building the image ${imageName} with ${engine}, which may take minutes ...`);
  const base = await fetchBase(program, project, step);
  const { outcome, text } = await step([
    'build',
    '--tag',
    imageName,
    '--build-arg',
    `BASE=${base}`,
    '--label',
    `${imageLabel}=${imageInputs(project)}`,
    ...(engine === 'podman' ? podmanOptions : []),
    join(project.projectDir, 'container'),
  ]);
  if (outcome !== 'ok') throw new UserError(`${program} build failed: ${text}`);
  writeNote(project, engine, 'built');
  say(`built ${imageName} in ${Math.round((performance.now() - startedMs) / 1000)} s.`);
  // Only images without a name that carry our label.
  if (engine !== 'apple-container')
    await ask(program, ['image', 'prune', '--force', '--filter', `label=${imageLabel}`]);
}

/** The base that is named, or else that of the Dockerfile, once the engine has it. */
async function fetchBase(
  program: string,
  { projectDir, imageBase }: Project,
  step: (args: string[]) => ReturnType<typeof ask>,
): Promise<string> {
  const dockerfile = readFileSync(join(projectDir, 'container/Dockerfile'), 'utf8');
  const base = imageBase ?? /^ARG BASE=(\S+)$/m.exec(dockerfile)?.[1] ?? '';
  // Apple's builds fetch it themselves.
  if (program === 'container') return base;
  if ((await ask(program, ['image', 'inspect', base])).outcome === 'ok') return base;
  const pulled = await step(['pull', base]);
  if (pulled.outcome === 'ok') return base;
  throw new UserError(`cannot fetch the base image ${base}: ${pulled.text}
Name an image that ${program} has or can reach: NANOCLAW_IMAGE_BASE=... npm run image`);
}
