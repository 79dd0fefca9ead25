/**
 * Makes sure that a container runtime is there: an engine that answers, or bubblewrap.
 * Installs bubblewrap through apt where it may, saying so; otherwise it tells the command.
 * Whether the runtime really isolates is the program's self-test, not decided here.
 */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
// Whole, because an old Node, which is to be told so, has no parseEnv in it.
import util from 'node:util';
import { run, SetupError, say } from './run.mjs';

const engines = ['docker', 'podman'];
const engineTimeoutMs = 15_000;
const aptTimeoutMs = 10 * 60_000;
/** prlimit and setpriv come with util-linux, which only the smallest images lack. */
const bubblewrapPrograms = ['bwrap', 'prlimit', 'setpriv'];
const packages = ['bubblewrap', 'util-linux'];

const installers = [
  { program: 'apt-get', command: 'apt-get install -y' },
  { program: 'dnf', command: 'dnf install -y' },
  { program: 'pacman', command: 'pacman -S --needed' },
  { program: 'zypper', command: 'zypper install' },
  { program: 'apk', command: 'apk add' },
];

/** The full path of `program`, or undefined. Spawns nothing. */
export function findProgram(program, searchPath = process.env.PATH ?? '') {
  return searchPath
    .split(delimiter)
    .filter(Boolean)
    .map((dir) => join(dir, program))
    .find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // ENOENT, EACCES, ENOTDIR: not a program that we can run
  }
}

/** Whether nothing is to be done, as far as that can be known without spawning anything. */
export function hasRuntime(platform = process.platform, searchPath = process.env.PATH) {
  // Elsewhere the engine is an application that only its owner can install.
  if (platform !== 'linux') return true;
  return bubblewrapPrograms.every((program) => findProgram(program, searchPath));
}

/**
 * Finds an answering engine or installs bubblewrap.
 * @throws {SetupError} with the one command to run, when it may not install
 */
export async function ensureRuntime(projectDir) {
  const forced = forcedRuntime(projectDir);
  if (forced && forced !== 'bubblewrap') return;
  if (!forced && (await engineAnswers())) return;

  const asRoot = await rootPrefix();
  if (!findProgram('apt-get') || !asRoot) throw new SetupError(runtimeAdvice());
  say(`installing bubblewrap, the container runtime (${[...asRoot, 'apt-get'].join(' ')}) ...`);
  const { code, output } = await aptInstall(asRoot);
  if (code !== 0)
    throw new SetupError(`${runtimeAdvice()}\nTried just now, and failed:\n${output}`);
}

/** What to tell somebody for whom nothing can be installed. */
export function runtimeAdvice({
  isRoot = process.getuid() === 0,
  searchPath = process.env.PATH,
} = {}) {
  const installer = installers.find(({ program }) => findProgram(program, searchPath));
  const reason = 'no container runtime found, and agents run only inside containers.';
  if (!installer) return `${reason} Install ${packages.join(' and ')}, or docker, or podman.`;
  const sudo = isRoot ? '' : 'sudo ';
  return `${reason} Run this once, then start again:\n  ${sudo}${installer.command} ${packages.join(' ')}`;
}

/** The environment or `.env` may name a runtime; then bubblewrap is not ours to install. */
export function forcedRuntime(projectDir) {
  return setting(projectDir, 'NANOCLAW_RUNTIME');
}

/**
 * A setting as the program reads it: the environment wins over `.env`, and empty is not set.
 * @throws {SetupError} when there is an `.env` that cannot be read
 */
export function setting(projectDir, name) {
  const given = process.env[name] ?? readDotEnv(join(projectDir, '.env'))[name];
  return given?.trim() || undefined;
}

function readDotEnv(path) {
  try {
    return util.parseEnv(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    if (error.code === 'EISDIR')
      throw new SetupError(`${path} is a folder; it must be a file of settings, or not there.`);
    throw new SetupError(`the settings cannot be read: ${error.message}`);
  }
}

/** A client without its engine is common; only an answer of the engine counts. */
async function engineAnswers() {
  for (const engine of engines.filter((name) => findProgram(name))) {
    const { code } = await run(engine, ['info'], { timeoutMs: engineTimeoutMs });
    if (code === 0) return true;
  }
  return false;
}

/** What to put before a command to run it as root, without asking anybody; or undefined. */
async function rootPrefix() {
  if (process.getuid() === 0) return [];
  if (!findProgram('sudo')) return undefined;
  const { code } = await run('sudo', ['-n', 'true'], { timeoutMs: engineTimeoutMs });
  return code === 0 ? ['sudo', '-n'] : undefined;
}

/** Tries with the lists at hand first; they are refreshed only when that fails. */
async function aptInstall(asRoot) {
  const [file, ...before] = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get'];
  const apt = (...args) => run(file, [...before, ...args], { timeoutMs: aptTimeoutMs });
  const lockWait = ['-o', 'DPkg::Lock::Timeout=120'];
  const install = () => apt(...lockWait, 'install', '-y', '--no-install-recommends', ...packages);
  const first = await install();
  if (first.code === 0) return first;
  const update = await apt('update');
  return update.code === 0 ? install() : update;
}
