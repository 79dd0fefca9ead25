import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openFeatureHost } from '../../../test/support/feature-host.ts';
import { saveGroup } from '../../db/groups.ts';
import { listPending, wordsOf } from '../../db/outbox.ts';
import { mainGroup } from '../../groups.ts';
import { memory } from './memory.ts';

function openMemory() {
  const { host, store, clock, config } = openFeatureHost();
  saveGroup(store, mainGroup);
  const dir = join(config.groupsDir, 'global');
  mkdirSync(dir, { recursive: true });
  const write = (text: string, name = 'CLAUDE.md') => writeFileSync(join(dir, name), text);
  write('# Memory\n');
  const start = () => {
    const parts = memory.create(host);
    parts.start?.();
    return () => parts.stop?.();
  };
  const told = () => {
    clock.advance(10_000);
    return listPending(store, mainGroup.chatId, 500).map(wordsOf);
  };
  const stop = start();
  onTestFinished(stop);
  return { dir, write, told, start, stop };
}

test('the owner is told what is new in the memory that all agents read, once', () => {
  const { write, told } = openMemory();
  expect(told()).toEqual([]);
  write('# Memory\nthe door code is 4711\u202e\n');
  expect(told()).toEqual([
    'The memory in groups/global, which all agents read, has changed. New there:\n"the door code is 4711\\u{202e}"',
  ]);
  expect(told()).toHaveLength(1);
  write('secret', 'notes.md');
  expect(told().at(-1)).toMatch(/\n"a file notes\.md"$/);
});

test('also of what changed while the host was down', () => {
  const { write, told, start, stop } = openMemory();
  stop();
  write('# Memory\nnew\n');
  const again = start();
  expect(told()).toHaveLength(1);
  again();
});

test('within bounds, and through no link', () => {
  const { dir, write, told } = openMemory();
  for (let number = 0; number < 50; number += 1) {
    write(`# Memory\n${number}\n`);
    told();
  }
  expect(told()).toHaveLength(11);
  expect(told().at(-1)).toMatch(/I say no more of it today/);
  rmSync(join(dir, 'CLAUDE.md'));
  symlinkSync('/etc/hostname', join(dir, 'CLAUDE.md'));
  expect(told()).toHaveLength(11);
});
