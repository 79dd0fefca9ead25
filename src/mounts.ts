/**
 * What each agent may see of the host, and the folders that this needs. Never a secret, the
 * database, another group, or anything that the host executes and an agent could write.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Config } from './config.ts';
import { beginMemory } from './memory.ts';
import { inside } from './protocol.ts';
import type { Mount } from './runtimes/container-spec.ts';
import type { Agent } from './types.ts';

interface Folders {
  config: Config;
  runDir: string;
}

/** What main may read of the project. Listed by name, so that nothing new shows by accident. */
const projectNames = [
  'src',
  'container',
  'docs',
  'scripts',
  'test',
  'bench',
  '.claude/skills',
  'README.md',
  'CLAUDE.md',
  'CHANGELOG.md',
  'package.json',
  'tsconfig.json',
];

export function isGroupFolder(name: string): boolean {
  return /^[a-z0-9][a-z0-9_-]{0,39}$/.test(name) && name !== 'global';
}

/** The agent's mounts. Files of the program that do not exist are left out. */
export function mountsFor(agent: Agent, { config, runDir }: Folders): Mount[] {
  const { isMain, folder } = agent.group;
  const mount = (source: string, target: string, readOnly = true) => ({ source, target, readOnly });
  // The SDK's native program, for either C library; npm installs the one that runs here.
  const claude = `node_modules/@anthropic-ai/claude-agent-sdk-linux-${process.arch}`;
  const programs = [
    'dist/agent-runner.js',
    'dist/node-proxy.cjs',
    `${claude}/claude`,
    `${claude}-musl/claude`,
  ];
  const program = programs.map((name) =>
    mount(join(config.projectDir, name), join(inside.program, basename(name))),
  );
  const project = projectNames.map((name) =>
    mount(join(config.projectDir, name), join(inside.project, name)),
  );
  const files = isMain ? [...program, ...project] : program;
  return [
    mount(join(config.groupsDir, folder), inside.group, false),
    mount(join(config.groupsDir, 'global'), inside.global, !isMain),
    mount(homeOf(agent, config), inside.home, false),
    mount(join(runDir, 'in'), inside.inbox),
    mount(join(runDir, 'out'), inside.outbox, false),
    ...files.filter(({ source }) => existsSync(source)),
  ];
}

/**
 * Makes the folders that `mountsFor` needs. Where the host is root, they belong to the group's uid,
 * so that no group can read another's. `in` stays the host's.
 */
export function prepareFolders(agent: Agent, { config, runDir }: Folders): void {
  const { folder, uid, isMain } = agent.group;
  const globalDir = join(config.groupsDir, 'global');
  mkdirSync(globalDir, { recursive: true });
  // Main writes it, every group reads it.
  if (isMain) giveTo(uid, globalDir, 0o755);
  giveTo(uid, join(config.groupsDir, folder), 0o700);
  beginMemory(config.groupsDir, folder);
  mkdirSync(join(config.dataDir, 'agents', agent.id), { recursive: true, mode: 0o700 });
  giveTo(uid, homeOf(agent, config), 0o700);
  mkdirSync(join(runDir, 'in'), { recursive: true, mode: 0o755 });
  giveTo(uid, join(runDir, 'out'), 0o700);
}

function homeOf(agent: Agent, config: Config): string {
  return join(config.dataDir, 'agents', agent.id, 'home');
}

/**
 * Makes a folder. Where the host is root, gives it to `uid` once, with all that the owner has put
 * there before.
 */
function giveTo(uid: number, folder: string, mode: number): void {
  mkdirSync(folder, { recursive: true });
  if (process.getuid?.() === 0 && lstatSync(folder).uid !== uid)
    // -h changes a link itself, never its target.
    execFileSync('chown', ['-hR', `${uid}:${uid}`, '--', folder]);
  chmodSync(folder, mode);
}
