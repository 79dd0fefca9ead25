/**
 * Makes sure that a container runtime is there: an engine that answers, or bubblewrap, which it
 * installs by apt where it may. Otherwise it tells the command. Whether the runtime seals is for
 * the program's own proof to say.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
// The whole module, because the named import would stop an old Node before it is told that it is old.
import util from 'node:util';
import { bubblewrapPrograms, findProgram, runtimes } from '../src/runtimes/table.mjs';
import { run, SetupError, say } from './run.mjs';

const engineTimeoutMs = 15_000;
const aptTimeoutMs = 10 * 60_000;
const packages = ['bubblewrap', 'util-linux'];

const installers = [
  { program: 'apt-get', command: 'apt-get install -y' },
  { program: 'dnf', command: 'dnf install -y' },
  { program: 'pacman', command: 'pacman -S --needed' },
  { program: 'zypper', command: 'zypper install' },
  { program: 'apk', command: 'apk add' },
];

/**
 * Whether nothing is to be done, as far as can be known without starting a process.
 * @throws {SetupError} when there is an `.env` that cannot be read
 */
export function hasRuntime(projectDir) {
  const forced = forcedRuntime(projectDir);
  if (forced && forced !== 'bubblewrap') return true;
  // Elsewhere the engine is an application that only its owner can install.
  if (process.platform !== 'linux') return true;
  return bubblewrapPrograms.every((program) => findProgram(program));
}

/**
 * Finds an engine that answers, or installs bubblewrap.
 * @throws {SetupError} with the one command to run, when it may not install
 */
export async function ensureRuntime(projectDir) {
  if (!forcedRuntime(projectDir) && (await engineAnswers())) return;

  const asRoot = await rootPrefix();
  if (!findProgram('apt-get') || !asRoot) throw new SetupError(runtimeAdvice());
  say(`installing bubblewrap, the container runtime (${[...asRoot, 'apt-get'].join(' ')}) ...`);
  const { code, output } = await aptInstall(packages, asRoot);
  if (code !== 0)
    throw new SetupError(`${runtimeAdvice()}\nTried just now, and failed:\n${output}`);
}

/** What to tell a person for whom nothing can be installed. */
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

/** What the environment or `.env` names, as the program reads them: empty counts as not set. */
function forcedRuntime(projectDir) {
  const name = 'NANOCLAW_RUNTIME';
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

/** A client without its engine is common, so that the engine itself has to answer. */
async function engineAnswers() {
  const { bubblewrap: _, ...engines } = runtimes;
  for (const { program, question, systems } of Object.values(engines)) {
    if (!systems.includes(process.platform) || !findProgram(program)) continue;
    const { code } = await run(program, question, { timeoutMs: engineTimeoutMs });
    if (code === 0) return true;
  }
  return false;
}

/** What runs a command as root without a password; undefined when nothing does. */
async function rootPrefix() {
  if (process.getuid() === 0) return [];
  if (!findProgram('sudo')) return undefined;
  const { code } = await run('sudo', ['-n', 'true'], { timeoutMs: engineTimeoutMs });
  return code === 0 ? ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive'] : undefined;
}

/**
 * Refreshes the package lists only when the installation fails with those at hand.
 * @param {string[]} names of the packages
 * @param {string[]} asRoot what to put before a command
 */
export async function aptInstall(names, asRoot = []) {
  const [file, ...before] = [...asRoot, 'apt-get'];
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: aptTimeoutMs };
  const apt = (...args) => run(file, [...before, ...args], options);
  const lockWait = ['-o', 'DPkg::Lock::Timeout=120'];
  const install = () => apt(...lockWait, 'install', '-y', '--no-install-recommends', ...names);
  const first = await install();
  if (first.code === 0) return first;
  const update = await apt('update');
  return update.code === 0 ? install() : update;
}
