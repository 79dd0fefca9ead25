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
export function mountsFor(agent: Agent, folders: Folders): Mount[] {
  const { projectDir } = folders.config;
  // The SDK's native program, for either C library; npm installs the one that runs here.
  const claude = `node_modules/@anthropic-ai/claude-agent-sdk-linux-${process.arch}`;
  const programs = [
    'dist/agent-runner.js',
    'dist/node-proxy.cjs',
    `${claude}/claude`,
    `${claude}-musl/claude`,
  ];
  const program = programs.map((name) =>
    mount(join(projectDir, name), join(inside.program, basename(name))),
  );
  const project = projectNames.map((name) =>
    mount(join(projectDir, name), join(inside.project, name)),
  );
  const files = agent.group.isMain ? [...program, ...project] : program;
  return [...ownMounts(agent, folders), ...files.filter(({ source }) => existsSync(source))];
}

/**
 * Makes the folders that `mountsFor` needs. Where the host is root, those that the agent writes
 * belong to the group's uid, and no group can read another's.
 */
export function prepareFolders(agent: Agent, folders: Folders): void {
  const { dataDir, groupsDir } = folders.config;
  const { folder, uid } = agent.group;
  mkdirSync(join(dataDir, 'agents', agent.id), { recursive: true, mode: 0o700 });
  for (const { source, target, readOnly } of ownMounts(agent, folders)) {
    mkdirSync(source, { recursive: true, mode: 0o755 });
    // Every group reads the shared memory.
    if (!readOnly) giveTo(uid, source, target === inside.global ? 0o755 : 0o700);
  }
  beginMemory(groupsDir, folder);
}

function ownMounts({ id, group }: Agent, { config, runDir }: Folders): Mount[] {
  return [
    mount(join(config.groupsDir, group.folder), inside.group, false),
    mount(join(config.groupsDir, 'global'), inside.global, !group.isMain),
    mount(join(config.dataDir, 'agents', id, 'home'), inside.home, false),
    mount(join(runDir, 'in'), inside.inbox),
    mount(join(runDir, 'out'), inside.outbox, false),
  ];
}

function mount(source: string, target: string, readOnly = true): Mount {
  return { source, target, readOnly };
}

/** Gives a folder to `uid` once, where the host is root, with all that the owner has put there. */
function giveTo(uid: number, folder: string, mode: number): void {
  if (process.getuid?.() === 0 && lstatSync(folder).uid !== uid)
    // -h changes a link itself, never its target.
    execFileSync('chown', ['-hR', `${uid}:${uid}`, '--', folder]);
  chmodSync(folder, mode);
}
