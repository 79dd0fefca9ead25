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
import { agentPackages, install, installCommand } from './packages.mjs';
import { run, SetupError, say } from './run.mjs';

const engineTimeoutMs = 15_000;
const packages = ['bubblewrap', 'util-linux'];

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
  const complaint = await install(packages, 'the container runtime');
  if (complaint === undefined) return;
  const details = complaint && `\nTried just now, and failed:\n${complaint}`;
  throw new SetupError(runtimeAdvice() + details);
}

/** What agents in bubblewrap lack, and the command to install it. */
export async function tellWhatAgentsLack(projectDir) {
  const lacking = process.platform === 'linux' ? agentPackages() : [];
  if (lacking.length === 0) return;
  const forced = forcedRuntime(projectDir);
  if (forced ? forced !== 'bubblewrap' : await engineAnswers()) return;
  const command = installCommand(lacking) ?? `install ${lacking.join(', ')}`;
  say(`agents have only this machine's programs. For those that they miss: ${command}`);
}

/** What to tell a person for whom nothing can be installed. */
export function runtimeAdvice(options) {
  const reason = 'no container runtime found, and agents run only inside containers.';
  const command = installCommand(packages, options);
  if (!command) return `${reason} Install ${packages.join(' and ')}, or docker, or podman.`;
  return `${reason} Run this once, then start again:\n  ${command}`;
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
