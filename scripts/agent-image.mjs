/**
 * The image of the agents' containers, for docker, podman or Apple's `container`: whether it is
 * there, and its building. It is labelled with a hash of what it was made from. Removes no image
 * but its own forerunners.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { baseName, makeBase } from './base-image.mjs';
import { reasonIn, run, runAloud, SetupError, say } from './run.mjs';
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

/**
 * The first of `candidates` whose client is installed and whose engine answers.
 * @returns {Promise<{ engine?: string, complaints: string[] }>} why those before it are none
 */
export async function findEngine(candidates) {
  const complaints = [];
  for (const engine of candidates) {
    const program = programs[engine];
    const question = engine === 'apple-container' ? ['system', 'status'] : ['info'];
    const { code, output } = await run(program, question, { timeoutMs: answerTimeoutMs });
    if (code === 0) return { engine, complaints };
    const reason = code === 124 ? `no answer in ${answerTimeoutMs / 1000} s` : reasonIn(output);
    complaints.push(`${engine}: ${findProgram(program) ? reason : 'not installed'}`);
  }
  return { complaints };
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
  const { hash, outcome } = readNote(dir);
  const isTried = !forced && (outcome === 'failed' || outcome === 'old');
  return hash === imageInputs(dir) && (candidates.includes(outcome) || isTried);
}

/** Says at a start that asks no engine when agents run in an image that could not be renewed. */
export function remindOfOldImage(dir) {
  const { hash, outcome, engine } = readNote(dir);
  if (outcome !== 'old' || forcedRuntime(dir) || !candidatesFor().includes(engine)) return;
  if (hash === imageInputs(dir))
    say(`the image of ${engine} is not up to date: \`npm run image\` tells why, and tries again.`);
}

/**
 * Builds the image if an engine answers that does not have it as it should be.
 * @throws {SetupError} when it cannot be built and NANOCLAW_RUNTIME names the engine
 */
export async function ensureImage(dir) {
  const forced = forcedRuntime(dir);
  const candidates = candidatesFor(forced);
  const { engine } = await findEngine(candidates);
  if (!engine) return;
  try {
    if (await hasImage(engine, dir)) writeNote(dir, engine);
    // Where agents can run without it, one line of what the engine says is enough.
    else await buildImage(engine, dir, { isAloud: Boolean(forced) });
  } catch (error) {
    if (forced || !(error instanceof SetupError)) throw error;
    const other = await findAnyImage(candidates);
    writeNote(dir, other ? `old ${other}` : 'failed');
    const isOld = other === engine;
    const lack = isOld ? `the image of ${engine} is not up to date` : `no image for ${engine}`;
    const elsewhere = process.platform === 'linux' ? 'agents run in bubblewrap' : 'no agent runs';
    const meanwhile = other
      ? `agents run in ${isOld ? 'the old one' : `that of ${other}`}`
      : elsewhere;
    say(`${lack} (${error.message.split('\n')[0]})`);
    say(`${meanwhile} until \`npm run image\` succeeds.`);
  }
}

function readNote(dir) {
  const note = existsSync(noteFile(dir)) ? readFileSync(noteFile(dir), 'utf8') : '';
  const [hash, outcome, engine] = note.split(' ');
  return { hash, outcome, engine };
}

/** `outcome` is the engine that has the image; `failed`; or `old` and the engine whose image is. */
function writeNote(dir, outcome) {
  writeFileSync(noteFile(dir), `${imageInputs(dir)} ${outcome}`);
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
  const { code, output } = await inspectImage(engine);
  return code === 0 && output.includes(imageInputs(dir));
}

/** The first that has an image, of whatever inputs: the program runs agents in that. */
async function findAnyImage(candidates) {
  for (const engine of candidates) if ((await inspectImage(engine)).code === 0) return engine;
  return undefined;
}

function inspectImage(engine) {
  const format = ['--format', `{{index .Config.Labels "${label}"}}`];
  const args = ['image', 'inspect', ...(engine === 'apple-container' ? [] : format), image];
  return run(programs[engine], args, { timeoutMs: answerTimeoutMs });
}

/**
 * Builds the image, and removes those that it takes the place of. Progress, when it is wanted, goes
 * to standard error.
 * @throws {SetupError} with what failed and what to do
 */
export async function buildImage(engine, dir, { isAloud = true } = {}) {
  const program = programs[engine];
  const runStep = isAloud ? runAloud : run;
  const started = Date.now();
  say(`building the image ${image} with ${engine}, which may take minutes ...`);
  const base = await findBase(program, dir, runStep);
  const { code, output } = await runStep(program, [
    ...['build', '--tag', image, '--build-arg', `BASE=${base}`],
    ...['--label', `${label}=${imageInputs(dir)}`, ...(engine === 'podman' ? podmanOptions : [])],
    join(dir, context),
  ]);
  if (code !== 0) throw new SetupError(`${program} build failed: ${reasonIn(output)}`);
  writeNote(dir, engine);
  say(`built ${image} in ${Math.round((Date.now() - started) / 1000)} s.`);
  if (engine !== 'apple-container') await removeOldImages(program, base);
}

/** Only ours: of the images without a name those with our label, and bases that we made before. */
async function removeOldImages(program, base) {
  await run(program, ['image', 'prune', '--force', '--filter', `label=${label}`]);
  const { output } = await run(program, ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}']);
  // Podman calls what comes from no registry localhost/.
  const ours = new RegExp(`^(localhost/)?${baseName}:[0-9a-f]+$`);
  const old = output.split('\n').filter((name) => ours.test(name) && !name.endsWith(base));
  // One that somebody's container uses stays: without force it is not removed.
  if (old.length > 0) await run(program, ['image', 'rm', ...old]);
}

function namedBase(dir) {
  return setting(dir, 'NANOCLAW_IMAGE_BASE');
}

/** The base that is named, when the engine has it or can fetch it; else one of our own. */
async function findBase(program, dir, runStep) {
  const named = namedBase(dir);
  const base = named || /^ARG BASE=(\S+)$/m.exec(readFileSync(join(dir, context, 'Dockerfile')))[1];
  const { code } = await run(program, ['image', 'inspect', base], { timeoutMs: answerTimeoutMs });
  if (code === 0 || program === 'container') return base;
  const pulled = await runStep(program, ['pull', base]);
  if (pulled.code === 0) return base;
  const complaint = `cannot fetch the base image ${base}: ${reasonIn(pulled.output)}`;
  const remedy = `Name an image that ${program} has or can reach: NANOCLAW_IMAGE_BASE=... npm run image`;
  if (named) throw new SetupError(`${complaint}\n${remedy}`);
  if (!findProgram('mmdebstrap') || process.getuid() !== 0)
    throw new SetupError(
      `${complaint}\n${remedy}\nOr install mmdebstrap, and run \`npm run image\` as root: then the base is made here.`,
    );
  return makeBase(program, runStep);
}
