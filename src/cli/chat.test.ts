import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
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
