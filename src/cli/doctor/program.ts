/** Whether the program itself is complete: Node, dependencies, build, and the agents' `claude`. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../../runtimes/ask.ts';
import { type Check, type Finding, missing, note, ok } from './finding.ts';

/** Of scripts/, which is no TypeScript. */
interface SetUp {
  machineComplaint(nodeVersion: string, platform: string): string | undefined;
  isInstalled(projectDir: string): boolean;
}

export function programChecks(projectDir: string): Check[] {
  const setUp = (): Promise<SetUp> => import(join(projectDir, 'scripts/setup.mjs'));
  return [
    ['Node.js', async () => nodeVersion(await setUp())],
    ['dependencies', async () => dependencies(await setUp(), projectDir)],
    ['claude', () => claudeProgram(projectDir)],
    ['.env', () => dotEnv(join(projectDir, '.env'))],
  ];
}

function nodeVersion({ machineComplaint }: SetUp): Finding {
  const complaint = machineComplaint(process.versions.node, process.platform);
  const where = `${process.versions.node} on ${process.platform} ${process.arch}`;
  return complaint ? missing(where, `NanoClaw ${complaint}`) : ok(where);
}

function dependencies({ isInstalled }: SetUp, projectDir: string): Finding {
  return isInstalled(projectDir)
    ? ok('installed, and all is built; `npm run doctor` sees to both')
    : missing('not as package-lock.json asks for them', 'npm ci');
}

/** Linux's also on macOS, because it runs in the containers' virtual machines; for either C library. */
async function claudeProgram(projectDir: string): Promise<Finding> {
  const name = `@anthropic-ai/claude-agent-sdk-linux-${process.arch}`;
  const path = [name, `${name}-musl`]
    .map((folder) => join(projectDir, 'node_modules', folder, 'claude'))
    .find((file) => existsSync(file));
  const reinstall = 'rm -rf node_modules && npm ci --include=optional';
  if (!path) return missing(`the package ${name} is not installed`, reinstall);
  if (process.platform !== 'linux') return ok('there; it runs only inside containers');
  // Without the person's settings, as in the container.
  const env = { HOME: '/nonexistent', PATH: '/usr/bin:/bin' };
  const { outcome, text } = await ask(path, ['--version'], { env });
  return outcome === 'ok' ? ok(text) : missing(`does not run: ${text}`, reinstall);
}

function dotEnv(path: string): Finding {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return ok('none; settings come from the environment alone');
  if (found.isDirectory())
    return missing('a folder, and no file', `Put the settings elsewhere, and: rmdir ${path}`);
  try {
    accessSync(path, constants.R_OK);
  } catch {
    return missing('it cannot be read', `sudo chown $USER ${path} && chmod 600 ${path}`);
  }
  const mode = (found.mode & 0o777).toString(8);
  return (found.mode & 0o077) === 0
    ? ok(`closed to others (${mode})`)
    : note(`other users of this machine can read it (${mode})`, `chmod 600 ${path}`);
}
