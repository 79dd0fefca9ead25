import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { numberedFileName } from '../../src/numbered-files.ts';
import {
  type InFile,
  type OutFile,
  outFileSchema,
  protocolFileBytesMax,
  textMax,
} from '../../src/protocol.ts';
import { clip } from '../../src/text.ts';
import { openOutbox, readInbox } from './files.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'files-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('the in folder', () => {
  const answer = (text: string): InFile => ({ kind: 'response', requestId: '1', ok: true, text });
  const put = (number: number, file: InFile) => {
    const path = join(dir, numberedFileName(number));
    writeFileSync(`${path}.tmp`, JSON.stringify(file));
    renameSync(`${path}.tmp`, path);
  };

  test('is read by number, each file once, whatever the order in which they come', async () => {
    const taken: InFile[] = [];
    put(1, answer('one'));
    readInbox(dir, (file) => taken.push(file));
    expect(taken).toEqual([answer('one')]);
    put(3, answer('three'));
    put(2, answer('two'));
    await vi.waitUntil(() => taken.length === 3, { timeout: 5000 });
    put(4, answer('four'));
    await vi.waitUntil(() => taken.length === 4, { timeout: 5000 });
    expect(taken).toEqual(['one', 'two', 'three', 'four'].map(answer));
  });
});

describe('the out folder', () => {
  const reply = (text: string): OutFile => ({ kind: 'reply', text: clip(text, textMax, ' [cut]') });

  test('is filled by number, and holds nothing else', () => {
    const write = openOutbox(dir);
    for (const text of ['one', 'two', 'three']) write({ kind: 'progress', text });
    expect(readdirSync(dir).sort()).toEqual([1, 2, 3].map(numberedFileName));
    expect(readFileSync(join(dir, numberedFileName(2)), 'utf8')).toContain('two');
  });

  test.each(['x', '\u0001', '€', '🙂', '\ud800', '"'])(
    'never holds a file that the host would refuse: endless %j',
    (character) => {
      openOutbox(dir)(reply(character.repeat(textMax * 2)));
      const bytes = readFileSync(join(dir, numberedFileName(1)));
      expect(bytes.length).toBeLessThan(protocolFileBytesMax);
      const file = outFileSchema.parse(JSON.parse(bytes.toString()));
      expect(file).toMatchObject({ text: expect.stringMatching(/ \[cut\]$/) });
    },
  );

  test('has no gap after a write that failed', () => {
    const write = openOutbox(dir);
    write({ kind: 'progress', text: 'one' });
    renameSync(dir, `${dir}-away`);
    expect(() => write({ kind: 'progress', text: 'lost' })).toThrow('ENOENT');
    renameSync(`${dir}-away`, dir);
    write({ kind: 'progress', text: 'two' });
    expect(readdirSync(dir).sort()).toEqual([1, 2].map(numberedFileName));
  });
});
