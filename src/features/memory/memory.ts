/**
 * Tells the owner what is new in the memory that all agents read. Main's agent writes it without
 * asking, and may have been turned by what it has read.
 */
import { createHash } from 'node:crypto';
import { opendirSync } from 'node:fs';
import { join } from 'node:path';
import { every } from '../../clock.ts';
import type { Feature, FeatureHost } from '../../feature.ts';
import { readInside } from '../../safe-open.ts';
import { clip, quoted } from '../../text.ts';

const lookEveryMs = 10_000;
const bytesMax = 64 * 1024;
const filesMax = 200;
const linesShownMax = 8;
const lineShownMax = 300;
const noticesPerDayMax = 10;

export const memory: Feature = {
  name: 'memory',
  migrations: ['CREATE TABLE shared_memory (text TEXT NOT NULL) STRICT;'],
  create: (host) => {
    let stop = () => {};
    return {
      start: () => {
        stop = every(host, lookEveryMs, () => look(host));
      },
      stop: () => stop(),
    };
  },
};

function look({ store, config, owner }: FeatureHost): void {
  const text = read(join(config.groupsDir, 'global'));
  const before = store.get<{ text: string }>('SELECT text FROM shared_memory')?.text;
  if (text === before) return;
  store.transaction(() => {
    store.run('DELETE FROM shared_memory');
    store.run('INSERT INTO shared_memory VALUES (:text)', { text });
    if (before === undefined) return;
    const known = new Set(before.split('\n'));
    const lines = text.split('\n').filter((line) => !known.has(line));
    const shown = lines.slice(0, linesShownMax).map((line) => quoted(clip(line, lineShownMax)));
    const more = lines.length - shown.length;
    const news = [...shown, ...(more > 0 ? [`and ${more} more lines`] : [])].join('\n');
    owner.tell(
      `The memory in groups/global, which all agents read, has changed. New there:\n${news || 'nothing, something is gone'}`,
      {
        key: `memory ${createHash('sha256').update(text).digest('hex')}`,
        atMost: {
          topic: 'memory',
          perDay: noticesPerDayMax,
          last: 'The memory in groups/global keeps changing. I say no more of it today.',
        },
      },
    );
  });
}

/** What CLAUDE.md says, and a line for each file beside it. */
function read(dir: string): string {
  const lines: string[] = [];
  try {
    const folder = opendirSync(dir);
    for (let entry = folder.readSync(); entry && lines.length < filesMax; entry = folder.readSync())
      if (entry.name !== 'CLAUDE.md') lines.push(`a file ${entry.name}`);
    folder.closeSync();
    lines.sort().push(readInside(dir, 'CLAUDE.md', { bytesMax }).toString());
  } catch (error) {
    lines.push(String(error));
  }
  return lines.join('\n').replaceAll('\0', '\uFFFD');
}
