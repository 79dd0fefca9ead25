import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HeldClock } from '../test/support/held-clock.ts';
import { agentOf, openTemporaryStore, temporaryFolder } from '../test/support/store.ts';
import { systemClock } from './clock.ts';
import { defaultLimits, loadConfig } from './config.ts';
import { listOpenRuns, saveRun } from './db/runs.ts';
import { OutReader, type Speaker } from './ipc.ts';
import { numberedFileName } from './numbered-files.ts';
import { type InFile, type OutFile, protocolFileBytesMax } from './protocol.ts';
import type { Clock } from './types.ts';

/** A reader over a temporary out folder; what it applies and answers is noted. */
function openReader(options: { failing?: () => boolean; clock?: Clock } = {}) {
  const folder = temporaryFolder();
  const dir = join(folder, 'out');
  const quarantineDir = join(folder, 'data', 'quarantine');
  const config = loadConfig({ NANOCLAW_HOME: folder }, folder);
  mkdirSync(dir);
  const store = openTemporaryStore();
  const runId = saveRun(store, 'main', 1);
  const applied: OutFile[] = [];
  const answers: InFile[] = [];
  const logged: string[] = [];
  const clock = new HeldClock();
  const log = pino({ level: 'warn' }, { write: (line) => void logged.push(line) });
  const speaker: Speaker = {
    runId,
    agent: agentOf({}),
    send: (file) => void answers.push(file),
    kill: () => {},
    noteAlive: () => {},
  };
  const make = (mark: number) =>
    new OutReader(
      {
        store,
        log,
        clock: options.clock ?? clock,
        limits: defaultLimits,
        config,
        effectOf: async (_, file) => () => {
          if (options.failing?.()) throw new Error('disk full');
          applied.push(file);
        },
      },
      speaker,
      dir,
      mark,
    );
  const reader = make(0);
  onTestFinished(() => reader.close());
  return {
    dir,
    clock,
    quarantineDir,
    reader,
    make,
    applied,
    answers,
    logged,
    texts: () => applied.map((file) => (file.kind === 'progress' ? file.text : file.kind)),
    mark: () => listOpenRuns(store)[0]?.outMark,
    /** As the runner writes: a temporary name, then the number. */
    write: (number: number, content: unknown) => {
      const path = join(dir, numberedFileName(number));
      writeFileSync(`${path}.tmp`, JSON.stringify(content));
      renameSync(`${path}.tmp`, path);
    },
  };
}

const progress = (text: string) => ({ kind: 'progress', text });

describe('the reader of an out folder', () => {
  test('applies files in the order of their numbers, once, and removes them', async () => {
    const { write, reader, texts, dir, mark } = openReader();
    for (const number of [3, 1, 2]) write(number, progress(`${number}`));
    await reader.drain();
    await reader.drain();
    expect(texts()).toEqual(['1', '2', '3']);
    expect(readdirSync(dir)).toEqual([]);
    expect(mark()).toBe(3);
  });

  test('notices new files by itself', async () => {
    const { write, reader, texts, clock } = openReader();
    const heard = () => {
      clock.advance(defaultLimits.outQuietMs);
      return texts();
    };
    reader.start();
    write(1, progress('heard'));
    await expect.poll(heard).toEqual(['heard']);
    write(2, progress('again'));
    await expect.poll(heard).toEqual(['heard', 'again']);
  });

  test('lists the folder each second when it cannot watch it', async () => {
    const { write, reader, texts, dir, clock } = openReader();
    rmdirSync(dir);
    reader.start();
    await reader.drain();
    mkdirSync(dir);
    write(1, progress('seen'));
    clock.advance(1000);
    await expect.poll(texts).toEqual(['seen']);
  });

  test('drops what was applied before a crash', async () => {
    const { write, make, texts } = openReader();
    write(1, progress('old'));
    write(2, progress('new'));
    await make(1).drain();
    expect(texts()).toEqual(['new']);
  });

  test('keeps a file whose effect could not be committed, and applies it later', async () => {
    let isFull = true;
    const { write, reader, texts, mark } = openReader({ failing: () => isFull });
    write(1, progress('kept'));
    await reader.drain();
    expect(texts()).toEqual([]);
    expect(mark()).toBe(0);
    isFull = false;
    await reader.drain();
    expect(texts()).toEqual(['kept']);
  });

  test('applies nothing more once it is closed', async () => {
    const { write, reader, texts } = openReader();
    reader.close();
    write(1, progress('late'));
    await reader.drain();
    expect(texts()).toEqual([]);
  });

  test('goes on behind a file that it refuses, and tells the agent why', async () => {
    const { write, reader, texts, answers, quarantineDir } = openReader();
    write(1, { kind: 'request', requestId: 'r1', request: { tool: 'format_disk', args: {} } });
    write(2, progress('after'));
    await reader.drain();
    expect(texts()).toEqual(['after']);
    expect(answers).toEqual([
      {
        kind: 'response',
        requestId: 'r1',
        ok: false,
        text: expect.stringContaining('Refused'),
      },
    ]);
    expect(readdirSync(join(quarantineDir, 'main'))).toHaveLength(1);
  });

  test('refuses numbers that skip one, and is not thrown off by them', async () => {
    const { write, reader, texts, dir } = openReader();
    write(7, progress('planted'));
    write(1, progress('real'));
    await reader.drain();
    write(2, progress('real too'));
    await reader.drain();
    expect(texts()).toEqual(['real', 'real too']);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('keeps and logs only the first refused files, and only their beginning', async () => {
    const { dir, reader, quarantineDir, logged } = openReader();
    for (let index = 0; index < 60; index += 1)
      writeFileSync(join(dir, `junk-${String(index).padStart(2, '0')}`), 'x'.repeat(100_000));
    await reader.drain();
    const kept = readdirSync(join(quarantineDir, 'main'));
    expect(kept).toHaveLength(defaultLimits.quarantineFilesMax);
    expect(readFileSync(join(quarantineDir, 'main', kept[0] ?? '')).length).toBe(
      defaultLimits.quarantineFileBytesMax,
    );
    expect(readdirSync(dir)).toEqual([]);
    expect(logged).toHaveLength(defaultLimits.quarantineFilesMax);
    reader.close();
    expect(logged.at(-1)).toContain('"refused":60');
  });
});

describe('hostile files', () => {
  const good = progress('good');

  test.each<[string, (path: string) => unknown]>([
    ['a link to a file of the host', (path) => symlinkSync('/etc/passwd', path)],
    ['a link to nowhere', (path) => symlinkSync('/nonexistent', path)],
    ['a FIFO', (path) => execFileSync('mkfifo', [path])],
    [
      'a hard link',
      (path) => {
        writeFileSync(`${path}.tmp`, JSON.stringify(good));
        execFileSync('ln', [`${path}.tmp`, path]);
      },
    ],
    [
      'a file that is too large',
      (path) => writeFileSync(path, Buffer.alloc(protocolFileBytesMax + 1, 0x20)),
    ],
    ['an empty file', (path) => writeFileSync(path, '')],
    ['invalid UTF-8', (path) => writeFileSync(path, Buffer.from([0x22, 0xff, 0xfe, 0x22]))],
    ['JSON that nests deeply', (path) => writeFileSync(path, '['.repeat(500_000))],
    ['an array', (path) => writeFileSync(path, '[]')],
    ['an unknown kind', (path) => writeFileSync(path, '{"kind":"shutdown"}')],
    [
      'additional fields',
      (path) => writeFileSync(path, JSON.stringify({ ...good, agentId: 'family' })),
    ],
    [
      'a prototype',
      (path) => writeFileSync(path, '{"kind":"progress","text":"x","__proto__":{"a":1}}'),
    ],
    [
      'a text that is too long',
      (path) => writeFileSync(path, JSON.stringify(progress('x'.repeat(501)))),
    ],
    ['a device', (path) => execFileSync('mknod', [path, 'c', '1', '5'])],
  ])('%s is refused at once, and the next file is applied', async (_, plant) => {
    const { dir, write, reader, texts, logged } = openReader();
    plant(join(dir, numberedFileName(1)));
    write(2, good);
    await reader.drain();
    expect(texts()).toEqual(['good']);
    expect(logged.some((line) => line.includes('refused'))).toBe(true);
    expect(existsSync(join(dir, numberedFileName(1)))).toBe(false);
  });

  test('a socket is refused', async () => {
    const { dir, write, reader, texts } = openReader();
    const server = createServer().listen(join(dir, numberedFileName(1)));
    await once(server, 'listening');
    write(2, good);
    await reader.drain();
    server.close();
    expect(texts()).toEqual(['good']);
  });

  test('a file whose name is not UTF-8 is refused once, and removed', async () => {
    const { dir, reader, logged } = openReader();
    writeFileSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe, 0x80])]), '');
    await reader.drain();
    await reader.drain();
    expect(readdirSync(dir)).toEqual([]);
    expect(logged).toHaveLength(1);
  });

  test('an agent that writes without end does not block the host', async () => {
    const { dir, reader } = openReader({ clock: systemClock });
    const flood = `
import os, time
end = time.time() + 10
for n in range(4):
    if os.fork() == 0:
        files = [os.open('%s/%d-%d.tmp' % ('${dir}', n, m), os.O_WRONLY | os.O_CREAT) for m in range(2)]
        while time.time() < end:
            for _ in range(1000):
                for file in files:
                    os.pwrite(file, b'x', 0)
        os._exit(0)
print('flooding', flush=True)
for n in range(4):
    os.wait()`;
    const child = spawn('python3', ['-c', flood], { detached: true });
    onTestFinished(() => void (child.exitCode === null && process.kill(-(child.pid ?? 0))));
    const over = once(child, 'exit').then(() => 'it slept until the flood was over');
    await once(child.stdout, 'data');
    reader.start();
    const awake = async () => {
      for (let turn = 0; turn < 100; turn += 1) await sleep(1);
      return 'awake';
    };
    expect(await Promise.race([over, awake()])).toBe('awake');
  }, 30_000);

  test('a folder in place of a file blocks its own agent only', async () => {
    const { dir, write, reader, texts } = openReader();
    mkdirSync(join(dir, numberedFileName(1)));
    write(2, good);
    await reader.drain();
    expect(texts()).toEqual([]);
  });

  test('ten thousand files of all kinds leave the host up, awake and bounded', async () => {
    const { dir, write, reader, texts, mark, quarantineDir } = openReader();
    const random = seeded(20261125);
    for (let index = 0; index < 10_000; index += 1) plantRandom(dir, index, random);
    let longestMs = 0;
    let lastMs = performance.now();
    const heartbeat = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - lastMs);
      lastMs = performance.now();
    }, 1);
    await reader.drain();
    for (let round = 0; round < 40; round += 1) await reader.drain();
    write((mark() ?? 0) + 1, good);
    await reader.drain();
    clearInterval(heartbeat);
    expect(texts().at(-1)).toBe('good');
    expect(readdirSync(join(quarantineDir, 'main')).length).toBeLessThanOrEqual(
      defaultLimits.quarantineFilesMax,
    );
    expect(readdirSync(dir).filter((name) => !name.endsWith('.tmp'))).toEqual([]);
    // A blocked read (such as of a FIFO) would stop the timer for good; any bound shows that it runs.
    expect(longestMs).toBeLessThan(5000);
  });
});

function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % below;
  };
}

/** One hostile file with a random name, type and content. */
function plantRandom(dir: string, index: number, random: (below: number) => number): void {
  const names = [
    numberedFileName(1 + random(300)),
    `${random(300)}.json`,
    `junk-${index}`,
    `-${index}`,
    `é ${index}\n.json`,
    numberedFileName(900_000 + index),
  ];
  const path = join(dir, names[random(names.length)] ?? 'x');
  if (lstatSync(path, { throwIfNoEntry: false })) return;
  const contents = [
    () => '{"kind":"progress","text":"ok"}',
    () => '{"kind":"progress","text":7}',
    () => '{'.repeat(random(2000)),
    () => JSON.stringify({ kind: 'turn_done', uuids: [random(9)] }),
    () => 'null',
    () => String.fromCharCode(...Array.from({ length: 50 }, () => random(65536))),
    () => JSON.stringify({ kind: 'reply', text: 'x'.repeat(random(300_000)) }),
  ];
  switch (random(12)) {
    case 0:
      symlinkSync('/etc/passwd', path);
      break;
    case 1:
      if (index % 20 === 1) execFileSync('mkfifo', [path]);
      break;
    default:
      writeFileSync(path, contents[random(contents.length)]?.() ?? '');
  }
}
