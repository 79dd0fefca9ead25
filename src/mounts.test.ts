import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { agentOf } from '../test/support/store.ts';
import { type Config, loadConfig } from './config.ts';
import { isGroupFolder, mountsFor, prepareFolders } from './mounts.ts';
import { prepareState } from './state-folders.ts';
import type { Agent } from './types.ts';

const asRoot = process.getuid?.() === 0;
let dir: string;
let config: Config;
let runDir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mounts-'));
  config = loadConfig({}, dir);
  runDir = join(config.dataDir, 'agents/family/run-1');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const family = agentOf({ folder: 'family', uid: 70_001, isMain: false });
const main = agentOf({ folder: 'main', uid: 70_000 });
const seen = (agent: Agent) => {
  const mounts = mountsFor(agent, { config, runDir });
  return mounts.map(({ source, target, readOnly }) => {
    expect(source.startsWith(dir)).toBe(true);
    return `${source.slice(dir.length + 1)} at ${target}${readOnly ? '' : ', writable'}`;
  });
};
const touch = (path: string): void => {
  mkdirSync(join(dir, path, '..'), { recursive: true });
  writeFileSync(join(dir, path), '');
};

describe('a group folder', () => {
  test.each(['main', 'family', 'a', '1', 'tennis-club_2', 'x'.repeat(40)])('may be %s', (name) => {
    expect(isGroupFolder(name)).toBe(true);
  });
  test.each([
    '',
    'global',
    'x'.repeat(41),
    '.',
    '..',
    'a/b',
    'Family',
    'a b',
    '-rf',
    'ä',
    'a\n',
    'a\0',
  ])('may not be %j', (name) => {
    expect(isGroupFolder(name)).toBe(false);
  });
});

describe('what an agent sees', () => {
  test('is its own files, the shared memory, its home, its inbox and outbox, its program', () => {
    touch('dist/agent-runner.js');
    touch(`node_modules/@anthropic-ai/claude-agent-sdk-linux-${process.arch}/claude`);
    expect(seen(family)).toEqual([
      'groups/family at /workspace/group, writable',
      'groups/global at /workspace/global',
      'data/agents/family/home at /home/agent, writable',
      'data/agents/family/run-1/in at /workspace/ipc/in',
      'data/agents/family/run-1/out at /workspace/ipc/out, writable',
      'dist/agent-runner.js at /opt/nanoclaw/agent-runner.js',
      `node_modules/@anthropic-ai/claude-agent-sdk-linux-${process.arch}/claude at /opt/nanoclaw/claude`,
    ]);
  });

  test('includes, for main, the shared memory to write and the source to read', () => {
    for (const path of [
      'src/a.ts',
      'package.json',
      '.claude/skills/setup/SKILL.md',
      '.env',
      '.git/config',
    ])
      touch(path);
    for (const path of [
      'store/db',
      'data/x',
      'groups/family/x',
      'node_modules/x',
      'dist/x',
      '.claude/settings.json',
    ])
      touch(path);
    const mounts = seen(main);
    expect(mounts).toContain('groups/global at /workspace/global, writable');
    expect(mounts.filter((line) => line.includes('/workspace/project'))).toEqual([
      'src at /workspace/project/src',
      '.claude/skills at /workspace/project/.claude/skills',
      'package.json at /workspace/project/package.json',
    ]);
  });
});

describe('preparing', () => {
  test('makes every folder that is mounted', () => {
    prepareFolders(family, { config, runDir });
    for (const { source } of mountsFor(family, { config, runDir })) {
      expect(existsSync(source), basename(source)).toBe(true);
    }
  });

  test('keeps what a group writes from all others', () => {
    prepareFolders(family, { config, runDir });
    for (const path of ['groups/family', 'data/agents/family', 'data/agents/family/home'])
      expect(statSync(join(dir, path)).mode & 0o077, path).toBe(0);
  });

  test('keeps other users of the host away from what a group has made set-uid', () => {
    for (const path of ['groups/main/CLAUDE.md', 'groups/global/CLAUDE.md']) touch(path);
    chmodSync(join(dir, 'groups'), 0o755);
    prepareState(config);
    prepareFolders(family, { config, runDir });
    for (const path of ['groups', 'data']) expect(statSync(join(dir, path)).mode & 0o077).toBe(0);
  });

  test.skipIf(!asRoot)('gives the group what it writes, and keeps the inbox', () => {
    prepareFolders(family, { config, runDir });
    const owner = (path: string): number => statSync(join(dir, path)).uid;
    for (const path of ['groups/family', 'data/agents/family/home', 'data/agents/family/run-1/out'])
      expect(owner(path), path).toBe(70_001);
    for (const path of ['groups/global', 'data/agents/family', 'data/agents/family/run-1/in'])
      expect(owner(path), path).toBe(0);
  });

  test.skipIf(!asRoot)('lets main write the shared memory and all read it', () => {
    touch('groups/global/CLAUDE.md');
    prepareFolders(main, { config, runDir });
    const global = statSync(join(config.groupsDir, 'global'));
    expect([global.uid, global.mode & 0o777]).toEqual([70_000, 0o755]);
    expect(statSync(join(config.groupsDir, 'global/CLAUDE.md')).uid).toBe(70_000);
  });

  test.skipIf(!asRoot)(
    'gives away what the owner put there, but never what a link leads to',
    () => {
      touch('groups/family/notes/CLAUDE.md');
      touch('outside');
      symlinkSync(join(dir, 'outside'), join(config.groupsDir, 'family/link'));
      symlinkSync(dir, join(config.groupsDir, 'family/folder'));
      prepareFolders(family, { config, runDir });
      expect(statSync(join(config.groupsDir, 'family/notes/CLAUDE.md')).uid).toBe(70_001);
      expect(statSync(join(dir, 'outside')).uid).toBe(0);
    },
  );

  test.skipIf(!asRoot)('touches nothing inside once an agent may have been there', () => {
    mkdirSync(join(config.groupsDir, 'family'), { recursive: true });
    chownSync(join(config.groupsDir, 'family'), 70_001, 70_001);
    chmodSync(join(config.groupsDir, 'family'), 0o777);
    touch('groups/family/file');
    prepareFolders(family, { config, runDir });
    expect(statSync(join(config.groupsDir, 'family/file')).uid).toBe(0);
    expect(statSync(join(config.groupsDir, 'family')).mode & 0o777).toBe(0o700);
  });
});
