import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../test/support/store.ts';
import { loadConfig } from './config.ts';
import { placeTemplates, prepareState } from './state-folders.ts';

/** A project with its templates, and its state elsewhere unless it is the project itself. */
function openState({ inProject = false } = {}) {
  const projectDir = temporaryFolder();
  const homeDir = inProject ? projectDir : temporaryFolder();
  const template = (group: string) => join(projectDir, 'groups', group, 'CLAUDE.md');
  for (const group of ['main', 'global']) {
    mkdirSync(dirname(template(group)), { recursive: true });
    writeFileSync(template(group), `about ${group}`);
  }
  const config = loadConfig({ NANOCLAW_HOME: homeDir }, projectDir);
  const logged: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void logged.push(line) });
  const memory = (group: string) => join(config.groupsDir, group, 'CLAUDE.md');
  const start = () => {
    prepareState(config);
    placeTemplates(config, log);
  };
  return { homeDir, template, memory, logged, start };
}

describe('the memories that a state begins with', () => {
  test('come from the templates, and are left alone from then on', () => {
    const { memory, start, logged } = openState();
    start();
    writeFileSync(memory('main'), 'learned');
    start();
    expect(readFileSync(memory('main'), 'utf8')).toBe('learned');
    expect(readFileSync(memory('global'), 'utf8')).toBe('about global');
    expect(logged).toEqual([]);
  });

  test.each([true, false])('may be removed by their agent (in the project: %s)', (inProject) => {
    const { template, memory, start } = openState({ inProject });
    start();
    unlinkSync(memory('main'));
    if (existsSync(template('main'))) unlinkSync(template('main'));
    start();
    expect(existsSync(memory('main'))).toBe(false);
  });

  test.each<[string, (path: string, home: string) => void]>([
    ['a link to nowhere', (path, home) => symlinkSync(join(home, 'nowhere'), path)],
    ['a link to itself', (path) => symlinkSync(path, path)],
    ['a link to a folder', (path, home) => symlinkSync(home, path)],
    ['a pipe', (path) => void execFileSync('mkfifo', [path])],
    ['a folder', (path) => void mkdirSync(path)],
  ])('may be %s, which is neither followed nor filled', (_, plant) => {
    for (const inProject of [true, false]) {
      const { homeDir, memory, start, logged } = openState({ inProject });
      start();
      unlinkSync(memory('main'));
      plant(memory('main'), homeDir);
      start();
      expect(existsSync(join(homeDir, 'nowhere'))).toBe(false);
      expect(existsSync(join(homeDir, 'CLAUDE.md'))).toBe(false);
      expect(logged).toEqual([]);
    }
  });

  test('are only warned of when they cannot be put in place', () => {
    const { homeDir, memory, start, logged } = openState();
    start();
    rmSync(dirname(memory('main')), { recursive: true });
    symlinkSync(join(homeDir, 'nowhere'), dirname(memory('main')));
    start();
    expect(existsSync(join(homeDir, 'nowhere'))).toBe(false);
    expect(logged).toHaveLength(1);
  });
});
