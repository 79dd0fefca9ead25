/**
 * Makes a fresh clone able to run: dependencies, bundles, a container runtime. When all are there
 * it only reads files: no child process, no network. It never touches stdin, and where it may not
 * install something it tells the command.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, isBuilt } from './bundle.mjs';
import { withLock } from './lock.mjs';
import { run, SetupError, say } from './run.mjs';
import { ensureRuntime, hasRuntime, tellWhatAgentsLack } from './runtime.mjs';

/** The folder that holds package.json. */
export const projectDir = dirname(dirname(fileURLToPath(import.meta.url)));

const installTimeoutMs = 15 * 60_000;

/**
 * Makes the project able to run.
 * @param {{ bundles?: boolean, runtime?: boolean }} needs what the caller needs besides dependencies
 * @throws {SetupError} with the command to run, or the end of the output of what failed
 */
export async function prepare({ bundles = true, runtime = true } = {}) {
  const complaint = machineComplaint(process.versions.node, process.platform);
  if (complaint) throw new SetupError(complaint);

  try {
    const lacksRuntime = runtime && !hasRuntime(projectDir);
    if (!lacksRuntime && isInstalled(projectDir) && (!bundles || isBuilt(projectDir))) return;
    await withLock(projectDir, async (addHolder) => {
      if (!isInstalled(projectDir)) await install(projectDir, addHolder);
      if (bundles && !isBuilt(projectDir)) await buildAloud();
      // Told in the first start, and after an update.
      if (runtime) await tellWhatAgentsLack(projectDir);
      if (runtime && !hasRuntime(projectDir)) await ensureRuntime(projectDir);
    });
  } catch (error) {
    // ENOSPC, EACCES: the message names the file, and a stack adds nothing.
    if (error.syscall) throw new SetupError(error.message, { cause: error });
    throw error;
  }
}

/** Runs `main` as a command: a SetupError becomes a message, the result the exit code. */
export async function command(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

/** Why this machine cannot run the project, as a sentence; undefined when it can. */
export function machineComplaint(nodeVersion, platform) {
  if (platform === 'win32') return 'runs on Linux and macOS; on Windows, run it inside WSL 2.';
  const [major, minor] = nodeVersion.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 12)) return undefined;
  return `needs Node.js 20.12 or newer, but this is ${nodeVersion}. Install a newer one from https://nodejs.org and start again.`;
}

/**
 * Whether node_modules holds what package-lock.json asks for, by npm's own record. So an `npm
 * install` by hand counts; one that was interrupted or made on another platform does not.
 */
export function isInstalled(dir, { platform, arch } = process) {
  const record = join(dir, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(dir, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' ||
      !isRequired(entry, platform, arch) ||
      (installed[path]?.version === entry.version &&
        installed[path]?.integrity === entry.integrity),
  );
}

/** Of the optional packages only those for this machine count; npm itself chooses by C library. */
function isRequired(entry, platform, arch) {
  if (!entry.optional) return true;
  return Boolean(entry.os?.includes(platform) && entry.cpu?.includes(arch) && !entry.libc);
}

async function install(dir, addHolder) {
  say('installing dependencies (npm ci) ...');
  // NODE_ENV or a setting of npm may omit packages, and the build and the tests need all.
  const include = ['--include=dev', '--include=optional', '--include=peer'];
  // Otherwise `npm start --silent` would also hide why this npm failed.
  const options = [...include, '--loglevel=error'];
  const [file, ...before] = npmCommand(process.env.npm_execpath);
  const { code, output } = await run(file, [...before, 'ci', ...options], {
    cwd: dir,
    timeoutMs: installTimeoutMs,
    onSpawn: addHolder,
  });
  if (code !== 0) throw new SetupError(`npm ci failed.\n${output}`);
}

/** The npm that started us, which may not be on PATH; otherwise the one on PATH. */
function npmCommand(execPath) {
  if (execPath && basename(execPath) === 'npm-cli.js') return [process.execPath, execPath];
  return ['npm'];
}

async function buildAloud() {
  say('building ...');
  try {
    await build(projectDir);
  } catch (error) {
    throw new SetupError(`the build failed.\n${error.message}`);
  }
}
