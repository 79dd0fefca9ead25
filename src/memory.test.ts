import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../test/support/store.ts';
import { loadConfig } from './config.ts';
import { beginMemory, prepareMemory } from './memory.ts';
import { prepareState } from './state-folders.ts';

function openState() {
  const homeDir = temporaryFolder();
  const config = loadConfig({ NANOCLAW_HOME: homeDir }, temporaryFolder());
  const logged: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void logged.push(line) });
  const memory = (group: string) => join(config.groupsDir, group, 'CLAUDE.md');
  const read = (group: string) => readFileSync(memory(group), 'utf8');
  const write = (group: string, text: string | Buffer) => {
    mkdirSync(dirname(memory(group)), { recursive: true });
    writeFileSync(memory(group), text);
  };
  const start = () => {
    prepareState(config);
    prepareMemory(config, log);
  };
  return { homeDir, config, memory, read, write, logged, start };
}

describe('a memory', () => {
  test('begins nearly empty in every state and for every group, and is not changed afterwards', () => {
    const { config, read, write, start, logged } = openState();
    start();
    expect([read('main'), read('global')]).toEqual(['# Memory\n', '# Memory\n']);
    mkdirSync(join(config.groupsDir, 'family'));
    beginMemory(config.groupsDir, 'family');
    expect(read('family')).toBe('# Memory\n');
    for (const group of ['main', 'global', 'family']) write(group, 'learned');
    start();
    beginMemory(config.groupsDir, 'family');
    for (const group of ['main', 'global', 'family']) expect(read(group)).toBe('learned');
    expect(logged).toEqual([]);
  });

  test.skipIf(process.getuid?.() !== 0)('belongs to the owner of its folder', () => {
    const { config, memory } = openState();
    mkdirSync(join(config.groupsDir, 'family'), { recursive: true });
    chownSync(join(config.groupsDir, 'family'), 70_001, 70_001);
    beginMemory(config.groupsDir, 'family');
    expect(statSync(memory('family')).uid).toBe(70_001);
  });

  test.each<[string, (path: string, home: string) => void]>([
    ['a link to nowhere', (path, home) => symlinkSync(join(home, 'nowhere'), path)],
    ['a link to itself', (path) => symlinkSync(path, path)],
    ['a link to a folder', (path, home) => symlinkSync(home, path)],
    ['a pipe', (path) => void execFileSync('mkfifo', [path])],
    ['a folder', (path) => void mkdirSync(path)],
  ])('may be %s, which is neither followed nor filled', (_, plant) => {
    const { homeDir, memory, start } = openState();
    start();
    unlinkSync(memory('main'));
    plant(memory('main'), homeDir);
    const planted = lstatSync(memory('main'));
    start();
    expect(lstatSync(memory('main')).ino).toBe(planted.ino);
    expect(existsSync(join(homeDir, 'nowhere'))).toBe(false);
    expect(existsSync(join(homeDir, 'CLAUDE.md'))).toBe(false);
  });

  test('is only logged when it cannot be created', () => {
    const { homeDir, memory, start, logged } = openState();
    start();
    rmSync(dirname(memory('main')), { recursive: true });
    symlinkSync(join(homeDir, 'nowhere'), dirname(memory('main')));
    start();
    expect(existsSync(join(homeDir, 'nowhere'))).toBe(false);
    expect(logged).toHaveLength(1);
  });
});

describe('a memory file of version 0.1', () => {
  const fixtures = join(import.meta.dirname, '../test/fixtures/memory-0.1');
  const old = (group: string) => readFileSync(join(fixtures, `${group}.md`), 'utf8');

  test.each(['main', 'global'])('of %s loses all of its instructions', (group) => {
    const { read, write, start, logged } = openState();
    write(group, old(group));
    start();
    expect(read(group)).toBe('# Memory\n');
    expect(logged).toEqual([]);
  });

  test.each(['main', 'global'])('of %s keeps what was added anywhere, as it was', (group) => {
    const { memory, read, write, start } = openState();
    const lines = old(group).split('\n');
    lines.unshift('My name is Maria.', '');
    lines.splice(6, 0, '- Ask before you write to Ben.', '', '  1. never on Sundays');
    lines.push('## People', '', 'Ben: my brother', '', '', 'Jo:\tmy aunt', '');
    write(group, lines.join('\r\n'));
    start();
    expect(read(group).split('\r\n')).toEqual([
      'My name is Maria.',
      '',
      '- Ask before you write to Ben.',
      '',
      '  1. never on Sundays',
      '## People',
      '',
      'Ben: my brother',
      '',
      '',
      'Jo:\tmy aunt',
      '',
    ]);
    expect(readdirSync(dirname(memory(group)))).toEqual(['CLAUDE.md']);
  });

  test('keeps a line of it that was changed, and bytes that are no text', () => {
    const { memory, write, start } = openState();
    const changed = old('main').replace('read-only.', 'read-only, in TypeScript.');
    write('main', Buffer.concat([Buffer.from([0xff, 0xfe, 0x0a]), Buffer.from(changed)]));
    start();
    const kept = readFileSync(memory('main'));
    expect([...kept.subarray(0, 3)]).toEqual([0xff, 0xfe, 0x0a]);
    expect(kept.subarray(3).toString()).toMatch(
      /^- The source .* read-only, in TypeScript\. .*\n$/,
    );
  });

  test('is searched again after a crash that left a half-written copy', () => {
    const { memory, read, write, start } = openState();
    write('main', `${old('main')}- likes tea\n`);
    writeFileSync(`${memory('main')}.new`, '- li');
    start();
    expect(read('main')).toBe('- likes tea\n');
    expect(existsSync(`${memory('main')}.new`)).toBe(false);
  });

  test('is not what a memory with two of its lines is', () => {
    const { read, write, start } = openState();
    const text = '## Your tools\n\na hammer\n\n## Your memory\n\ngood\n';
    write('main', text);
    start();
    expect(read('main')).toBe(text);
  });
});
