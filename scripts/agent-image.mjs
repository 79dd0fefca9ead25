/**
 * The image of the agents' containers, for docker, podman or Apple's `container`: whether it is
 * there, and its building. It is labelled with a hash of what it was made from. Removes no image.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBase } from './base-image.mjs';
import { run, runAloud, SetupError, say } from './run.mjs';
import { findProgram, forcedRuntime, setting } from './runtime.mjs';

const image = 'nanoclaw-agent';
const label = 'nanoclaw.inputs';
const context = 'container';
const inputs = ['Dockerfile', '.dockerignore', 'etc/passwd', 'etc/group', 'etc/hosts'];
const answerTimeoutMs = 5000;

const programs = { docker: 'docker', podman: 'podman', 'apple-container': 'container' };

export const engines = Object.keys(programs);

/** Podman would raise these limits, which not every machine lets even root do; one layer is faster. */
const podmanOptions = [
  ...['--layers=false', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=4096:4096'],
];

/** The engine of a runtime's name, as in NANOCLAW_RUNTIME; undefined when it has no image. */
export function engineOf(runtime) {
  return engines.find((engine) => engine === runtime.replace(/\+runsc$/, ''));
}

/** The first of `candidates` whose client is installed and whose engine answers. */
export async function findEngine(candidates) {
  for (const engine of candidates) {
    const program = programs[engine];
    if (!findProgram(program)) continue;
    const question = engine === 'apple-container' ? ['system', 'status'] : ['info'];
    const { code } = await run(program, question, { timeoutMs: answerTimeoutMs });
    if (code === 0) return engine;
  }
  return undefined;
}

/** Changes with everything that the image is made from. */
function imageInputs(dir) {
  const hash = createHash('sha256').update(`${namedBase(dir) ?? ''}\0`);
  for (const name of inputs) hash.update(readFileSync(join(dir, context, name))).update('\0');
  return hash.digest('hex').slice(0, 16);
}

/**
 * Whether the image is as it should be, as far as files tell. What was found or tried last is
 * noted in dist/, so that no start asks an engine twice; a build that failed is not repeated.
 */
export function isImageSettled(dir) {
  const forced = forcedRuntime(dir);
  const candidates = candidatesFor(forced);
  if (candidates.length === 0 || !existsSync(join(dir, context, 'Dockerfile'))) return true;
  const note = existsSync(noteFile(dir)) ? readFileSync(noteFile(dir), 'utf8') : '';
  const [hash, outcome] = note.split(' ');
  return (
    hash === imageInputs(dir) && (candidates.includes(outcome) || (!forced && outcome === 'failed'))
  );
}

/**
 * Builds the image if an engine answers that does not have it as it should be.
 * @throws {SetupError} when it cannot be built and NANOCLAW_RUNTIME names the engine
 */
export async function ensureImage(dir) {
  const forced = forcedRuntime(dir);
  const engine = await findEngine(candidatesFor(forced));
  if (!engine) return;
  const hash = imageInputs(dir);
  try {
    if (!(await hasImage(engine, dir))) await buildImage(engine, dir);
    else writeFileSync(noteFile(dir), `${hash} ${engine}`);
  } catch (error) {
    if (forced || !(error instanceof SetupError)) throw error;
    writeFileSync(noteFile(dir), `${hash} failed`);
    say(`no image for ${engine}: ${error.message.split('\n')[0]}`);
    say('agents run in bubblewrap until `npm run image` succeeds.');
  }
}

function noteFile(dir) {
  return join(dir, 'dist', 'image');
}

/** Engines that an image may be for: the one that is named, or those whose client is installed. */
function candidatesFor(forced) {
  if (forced) return engines.filter((engine) => engine === engineOf(forced));
  return engines.filter((engine) => findProgram(programs[engine]));
}

/** Whether the engine has the image, made from the inputs as they are now. */
export async function hasImage(engine, dir) {
  const format = ['--format', `{{index .Config.Labels "${label}"}}`];
  const args = ['image', 'inspect', ...(engine === 'apple-container' ? [] : format), image];
  const { code, output } = await run(programs[engine], args, { timeoutMs: answerTimeoutMs });
  return code === 0 && output.includes(imageInputs(dir));
}

/**
 * Builds the image; progress goes to standard error.
 * @throws {SetupError} with what failed and what to do
 */
export async function buildImage(engine, dir) {
  const program = programs[engine];
  const started = Date.now();
  say(`building the image ${image} with ${engine} ...`);
  const base = await findBase(program, dir);
  const code = await runAloud(program, [
    ...['build', '--tag', image, '--build-arg', `BASE=${base}`],
    ...['--label', `${label}=${imageInputs(dir)}`, ...(engine === 'podman' ? podmanOptions : [])],
    join(dir, context),
  ]);
  if (code !== 0) throw new SetupError(`${program} build failed; the reason stands above.`);
  writeFileSync(noteFile(dir), `${imageInputs(dir)} ${engine}`);
  say(`built ${image} in ${Math.round((Date.now() - started) / 1000)} s.`);
}

function namedBase(dir) {
  return setting(dir, 'NANOCLAW_IMAGE_BASE');
}

/** The base that is named, when the engine has it or can fetch it; else one of our own. */
async function findBase(program, dir) {
  const named = namedBase(dir);
  const base = named || /^ARG BASE=(\S+)$/m.exec(readFileSync(join(dir, context, 'Dockerfile')))[1];
  const { code } = await run(program, ['image', 'inspect', base], { timeoutMs: answerTimeoutMs });
  if (code === 0 || program === 'container' || (await runAloud(program, ['pull', base])) === 0)
    return base;
  const remedy = `Name an image that ${program} has or can reach: NANOCLAW_IMAGE_BASE=... npm run image`;
  if (named) throw new SetupError(`cannot fetch the base image ${base}.\n${remedy}`);
  if (!findProgram('mmdebstrap') || process.getuid() !== 0)
    throw new SetupError(
      `cannot fetch the base image ${base}.\n${remedy}\nOr install mmdebstrap, and run \`npm run image\` as root: then the base is made here.`,
    );
  return makeBase(program);
}
