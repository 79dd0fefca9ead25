/**
 * The entry: `main([])` starts the host and, where there is a terminal or piped input, a
 * chat with the main group; `main(['chat', ...])` attaches to a host that runs.
 */
import { fstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { chat } from '../cli/chat.ts';
import { type Config, loadConfig } from './config.ts';
import { startHost } from './host.ts';
import { UserError } from './types.ts';

const usage = 'Usage: npm start | npm run chat -- [--group NAME] [--as NAME]';

/** Resolves to the exit status. What the person can mend is said in plain words. */
export async function main(argv: string[]): Promise<number> {
  try {
    const config = loadConfig(process.env, dirname(import.meta.dirname));
    if (argv.length === 0) return await run(config);
    if (argv[0] === 'chat') return await attach(config, argv.slice(1));
    throw new UserError(usage);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

async function run(config: Config): Promise<number> {
  // Agents read what the host puts into their folders, whatever the caller's mask is.
  process.umask(0o022);
  const stopped = stopSignal();
  const host = await startHost(config);
  process.stderr.write(`${host.describe().join('\n')}\n${host.isDemo ? demoNotice : ''}`);
  try {
    const kind = inputKind();
    if (kind === 'none') return await stopped;
    return await Promise.race([stopped, chatHere(config, 'main', 'you')]);
  } finally {
    await host.stop();
  }
}

const demoNotice = `
*** No credential was found. The answers below come from a small script, the DEMO MODEL.
*** It is not Claude. Put ANTHROPIC_API_KEY=... (or CLAUDE_CODE_OAUTH_TOKEN=...) into .env
*** and run \`npm start\` again to talk to Claude.

`;

async function attach(config: Config, args: string[]): Promise<number> {
  const { values } = readArguments(args);
  return chatHere(config, values.group, values.as);
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        group: { type: 'string', default: 'main' },
        as: { type: 'string', default: 'you' },
      },
    });
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : error}\n${usage}`);
  }
}

function chatHere({ socketPath }: Config, group: string, as: string): Promise<number> {
  return chat({
    socketPath,
    group,
    as,
    input: process.stdin,
    output: process.stdout,
    isInteractive: inputKind() === 'terminal',
  });
}

/** A terminal, input that ends (pipe, file), or none at all, as for a service. */
function inputKind(): 'terminal' | 'piped' | 'none' {
  if (process.stdin.isTTY) return 'terminal';
  try {
    const stat = fstatSync(0);
    return stat.isFIFO() || stat.isFile() || stat.isSocket() ? 'piped' : 'none';
  } catch {
    return 'none'; // EBADF: closed.
  }
}

function stopSignal(): Promise<number> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => resolve(0));
  });
}
