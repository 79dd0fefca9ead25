import { once } from 'node:events';
import { chmodSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { temporaryFolder } from '../../test/support/store.ts';
import { readLines, sendLine, type ToTerminal } from '../channels/terminal/protocol.ts';
import { chat } from './chat.ts';

/** The output of a terminal to which a host sends these messages. */
async function shown(isInteractive: boolean, ...said: ToTerminal[]): Promise<string> {
  const server = createServer((socket) => void play(socket, said));
  onTestFinished(() => void server.close());
  const socketPath = join(temporaryFolder(), 'socket');
  await once(server.listen(socketPath), 'listening');
  const input = new PassThrough();
  const output = new PassThrough();
  await chat({ socketPath, group: 'main', as: 'you', input, output, isInteractive });
  output.end();
  return text(output);
}

async function play(socket: Socket, said: ToTerminal[]): Promise<void> {
  for await (const _ of readLines(socket, z.unknown())) {
    for (const message of said) sendLine(socket, message);
    socket.end();
    return;
  }
}

const welcome = { kind: 'welcome', assistantName: 'Andy', needsTrigger: false } as const;
const deliver = { kind: 'deliver', id: '1', text: '', file: null } as const;
/** Clears the screen, sets the clipboard, moves up a line, reverses the text that follows. */
const tricks = '\u001b[2J\u001b]52;c;cm0gLXJmIH4=\u0007\r\u009b1A\u007f\u202egpj.\u2066';
const shownTricks = '\uFFFD[2J\uFFFD]52;c;cm0gLXJmIH4=\uFFFD\uFFFD\uFFFD1A\uFFFD\uFFFDgpj.\uFFFD';
const file = { hostPath: '/tmp/x', name: `a${tricks}`, mime: 'x/y', sizeBytes: 7 };

test.each<[string, ToTerminal]>([
  ['a text', { ...deliver, text: `a${tricks}` }],
  ['the name of a file', { ...deliver, file }],
  ['what somebody else said', { kind: 'said', senderName: 'Mo', text: `a${tricks}` }],
  ['the name of somebody else', { kind: 'said', senderName: `a${tricks}`, text: 'x' }],
])('a terminal obeys nothing that %s would have it do', async (_, message) => {
  expect(await shown(false, welcome, message)).toContain(`a${shownTricks}`);
  expect(await shown(false, welcome, message)).not.toMatch(
    /[^\P{Cc}\n]|[\u202A-\u202E\u2066-\u2069]/u,
  );
});

test('a terminal obeys nothing that an activity would have it do', async () => {
  const output = await shown(true, welcome, { kind: 'activity', text: `Bash:\n\t${tricks}` });
  expect(output).toContain('Bash:  \uFFFD[2J\uFFFD]52;c;');
  for (const trick of ['\u001b[2J', '\u001b]52', '\u009b', '\u202e', '\n\t'])
    expect(output).not.toContain(trick);
});

test('a text keeps its lines, tabs and letters', async () => {
  const lines = 'one\n\ttwo\nça va? שלום 👩‍💻';
  expect(await shown(false, welcome, { ...deliver, text: lines })).toContain(`${lines}\n`);
});

describe('where no host lets a terminal in', () => {
  const attach = (socketPath: string) => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    return chat({ socketPath, group: 'main', as: 'you', input, output, isInteractive: false });
  };

  test('it says that none runs', async () => {
    await expect(attach(join(temporaryFolder(), 'socket'))).rejects.toThrow(/does not run here/);
  });

  test('it says that another user runs it', async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    const socketPath = join(folder, 'socket');
    const server = createServer();
    onTestFinished(() => void server.close());
    await once(server.listen(socketPath), 'listening');
    chmodSync(socketPath, 0o600);
    const uid = process.geteuid?.();
    // Root may connect to any socket, so root becomes `nobody` for the attempt.
    if (uid === 0) process.seteuid?.(65534);
    else chmodSync(socketPath, 0);
    const attaching = attach(socketPath);
    if (uid === 0) process.seteuid?.(0);
    await expect(attaching).rejects.toThrow(/as another user: .*socket is closed to you/);
  });
});

describe('what a person types', () => {
  type Heard = { kind: string; id?: string; text?: string; files?: string[] };

  /** A host that answers by `hear`, and a person at its terminal. */
  async function converse(hear: (heard: Heard, socket: Socket) => void) {
    const server = createServer(async (socket) => {
      for await (const line of readLines(
        socket,
        z.custom<Heard>(() => true),
      )) {
        if (line.kind === 'hello') sendLine(socket, welcome);
        else if (line.kind === 'message') hear(line, socket);
      }
    });
    onTestFinished(() => void server.close());
    const socketPath = join(temporaryFolder(), 'socket');
    await once(server.listen(socketPath), 'listening');
    const input = new PassThrough();
    const output = new PassThrough();
    const status = chat({
      socketPath,
      group: 'main',
      as: 'you',
      input,
      output,
      isInteractive: false,
    });
    const shown = async () => {
      await status;
      output.end();
      return text(output);
    };
    return { input, status, shown };
  }

  const settle = ({ id = '' }: Heard, socket: Socket) => {
    sendLine(socket, { kind: 'stored', id });
    sendLine(socket, { kind: 'state', state: 'settled' });
  };

  test.each([
    ['a file that is not there', 'gone.txt', /^Not sent: There is no file \/.*\/gone\.txt\.$/],
    ['a folder', '.', /^Not sent: \/.* is a folder: \/attach sends one file\.$/],
    ['what is no file', '/dev/null', /^Not sent: \/dev\/null is no regular file\.$/],
    ['too much', 'large.bin', /^Not sent: \/.*\/large\.bin has more than \d+ bytes\.$/],
    ['nothing', '', /^Not sent: \/attach PATH \[TEXT\] sends a file/],
  ])('they hear at once that %s cannot be attached', async (_, path, expected) => {
    const heard: Heard[] = [];
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'large.bin'), '');
    truncateSync(join(folder, 'large.bin'), 65 * 1024 * 1024);
    vi.stubEnv('INIT_CWD', folder);
    onTestFinished(() => void vi.unstubAllEnvs());
    const { input, status, shown } = await converse((line) => heard.push(line));
    input.end(`/attach ${path} look\n`.replace('  look', ''));
    expect((await shown()).trim()).toMatch(expected);
    expect(await status).toBe(1);
    expect(heard).toEqual([]);
  });

  test('a path is that of the folder in which they are', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a.txt'), 'x');
    vi.stubEnv('INIT_CWD', folder);
    onTestFinished(() => void vi.unstubAllEnvs());
    const heard: Heard[] = [];
    const { input, status } = await converse((line, socket) => {
      heard.push(line);
      settle(line, socket);
    });
    input.end('/attach a.txt look\n');
    expect(await status).toBe(0);
    expect(heard).toMatchObject([{ text: 'look', files: [join(folder, 'a.txt')] }]);
  });

  test('/help names what only a terminal has', async () => {
    const { input, shown } = await converse(settle);
    input.end('/help\n');
    expect(await shown()).toContain('/attach PATH');
  });

  test('the host says why a line was not stored', async () => {
    const { input, status, shown } = await converse(({ id = '' }, socket) => {
      sendLine(socket, { kind: 'unstored', id, reason: 'the disk is full' });
    });
    input.end('hello\n');
    expect(await shown()).toBe('Not sent: the disk is full\n');
    expect(await status).toBe(1);
  });

  test('/stop and /status do not wait for an answer, other lines do', async () => {
    const heard: string[] = [];
    const { input, status } = await converse((line, socket) => {
      heard.push(line.text ?? '');
      sendLine(socket, { kind: 'stored', id: line.id ?? '' });
      if (line.text !== 'long work') sendLine(socket, { kind: 'state', state: 'settled' });
    });
    input.write('long work\nafterwards\n');
    input.end('/status\n/stop\n');
    expect(await status).toBe(0);
    expect(heard.slice(0, 2)).toEqual(['long work', '/status']);
    expect(heard.slice(2).toSorted()).toEqual(['/stop', 'afterwards']);
  });

  test('a host that is lost leaves word of each line that has no answer', async () => {
    const { input, shown } = await converse((line, socket) => {
      if (line.text === 'first') return settle(line, socket);
      sendLine(socket, { kind: 'stored', id: line.id ?? '' });
      socket.end();
    });
    input.write('first\nsecond\nthird\n');
    const output = await shown();
    expect(output).toContain('The host has stopped.');
    expect(output).toMatch(/^Stored, .*: second$/m);
    expect(output).toMatch(/^Not stored.*: third$/m);
    expect(output).not.toContain('first');
  });
});
