/**
 * The command line: `main([])` starts the host and, where there is a terminal or piped input, a
 * chat with the main group; `main(['chat', ...])` attaches to a host that runs; `link` and
 * `unlink` join and leave a WhatsApp account; `image` builds the containers' image; `doctor` says
 * what is missing.
 */
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { type Config, loadConfig } from '../config.ts';
import { startHost } from '../index.ts';
import { UserError } from '../types.ts';
import { chat } from './chat.ts';
import { startDemoModel } from './demo/demo-model.ts';
import { image, imageUsage, prepareImage } from './image.ts';

interface Person {
  group: string;
  as: string;
}

/** Resolves to the exit status. What the person can mend is said in plain words. */
export async function main(argv: string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  try {
    const projectDir = dirname(import.meta.dirname);
    const { command, ...options } = readArguments(argv);
    // Before the settings are read: they may be what is wrong.
    if (command === 'doctor')
      return await (await import('./doctor.ts')).doctor(projectDir, options);
    const config = loadConfig(process.env, projectDir);
    switch (command) {
      case 'link':
        return await (await import('./link.ts')).link(config, options);
      case 'unlink':
        return await (await import('./link.ts')).unlink(config);
      case 'chat':
        return await chatHere(config, options);
      case 'image':
        return await image(config);
      default:
        await prepareImage(config);
        return await run(config, options);
    }
  } catch (error) {
    // A full disk, a folder of somebody else: the message says which, a stack adds nothing.
    if (!(error instanceof Error && (error instanceof UserError || 'syscall' in error)))
      throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

const usage = `Usage: npm start
       npm run chat -- [--group NAME] [--as NAME]
       npm run link -- [--code +NUMBER] [--mode own --owner +NUMBER | --mode shared]
       npm run unlink
       npm run image, which takes no arguments; to name the engine: ${imageUsage}
       npm run doctor -- [--all] [--json]`;

function readArguments([command, ...args]: string[]) {
  try {
    const options = {
      group: { type: 'string', default: 'main' },
      as: { type: 'string', default: 'you' },
      code: { type: 'string' },
      mode: { type: 'string' },
      owner: { type: 'string' },
      all: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    } as const;
    if (command === undefined || ['chat', 'link', 'unlink', 'image', 'doctor'].includes(command))
      return { command, ...parseArgs({ args, options }).values };
    throw new Error('unknown command');
  } catch (error) {
    throw new UserError(usage, { cause: error });
  }
}

async function run(config: Config, who: Person): Promise<number> {
  // Agents read what the host puts into their folders, whatever the caller's mask is.
  process.umask(0o022);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const stopped = Promise.race(signals.map((signal) => once(process, signal))).then(() => 0);
  const model = config.model ?? (await startDemoModel(config.assistantName));
  const host = await startHost(config, model);
  process.stderr.write(`${host.describe().join('\n')}\n${config.model ? '' : demoNotice}`);
  try {
    return await Promise.race(hasInput() ? [stopped, chatHere(config, who)] : [stopped]);
  } finally {
    await host.stop();
  }
}

const demoNotice = `
*** No credential was found: the answers come from a small script, the DEMO MODEL, not Claude.
*** Put ANTHROPIC_API_KEY=... (or CLAUDE_CODE_OAUTH_TOKEN=...) into .env and start again.

`;

function chatHere({ socketPath }: Config, who: Person): Promise<number> {
  const { stdin: input, stdout: output } = process;
  return chat({ socketPath, ...who, input, output, isInteractive: input.isTTY });
}

/** Whether there is a terminal, a pipe or a file; a service has none of them. */
function hasInput(): boolean {
  const stdin = fstatSync(0);
  return process.stdin.isTTY || stdin.isFIFO() || stdin.isFile() || stdin.isSocket();
}
