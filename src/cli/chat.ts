/**
 * The person's side of the terminal channel: attaches to a running host and shows the chat. On a
 * terminal it is interactive. With piped input, each line is a message, sent once the one before is
 * answered; `/stop` and `/status` are sent at once.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { checkFile } from '../channels/terminal/local-file.ts';
import {
  readLines,
  sendLine,
  type ToTerminal,
  toTerminalSchema,
} from '../channels/terminal/protocol.ts';
import { type Deferred, deferred } from '../deferred.ts';
import { clip, printable } from '../text.ts';
import { UserError } from '../types.ts';

export interface ChatOptions {
  socketPath: string;
  group: string;
  as: string;
  input: Readable;
  output: Writable;
  isInteractive: boolean;
}

/**
 * Resolves to the exit status when the person leaves or the input ends: 1 if a message got no
 * answer. Throws UserError if no host runs or it refuses.
 */
export async function chat(options: ChatOptions): Promise<number> {
  const socket = await attach(options.socketPath);
  sendLine(socket, { kind: 'hello', group: options.group, as: options.as });
  const session = new ChatSession(socket, options);
  const listening = session.listen();
  // The reader of our output has gone (EPIPE), so there is nobody to show anything to.
  options.output.once('error', () => session.leave());
  try {
    await Promise.race([session.welcomed.promise, listening]);
    const talking = options.isInteractive ? session.talk() : session.pipe();
    return await Promise.race([talking, listening]);
  } finally {
    session.leave();
  }
}

function attach(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new UserError(
          error.code === 'EACCES'
            ? `NanoClaw runs here as another user: ${socketPath} is closed to you. Chat as that user.`
            : 'NanoClaw does not run here. Start it with `npm start`.',
        ),
      ),
    );
  });
}

/** The message in a typed line; `/attach PATH TEXT` sends a file. Throws when it cannot be sent. */
function messageFrom(line: string): { text: string; files: string[] } {
  const attached = /^\s*\/attach(?:\s+("[^"]+"|\S+)\s*(.*))?$/.exec(line);
  if (!attached) return { text: line, files: [] };
  if (!attached[1]) throw new UserError(attachHelp);
  const typed = attached[1].replaceAll('"', '').replace(/^~(?=\/)/, homedir());
  // npm runs programs in the project's folder, and says in which folder it was called.
  const path = resolve(process.env.INIT_CWD ?? '', typed);
  checkFile(path);
  return { text: attached[2] ?? '', files: [path] };
}

/** A line that a person wrote, until it is answered. */
interface Line {
  id: string;
  text: string;
  isStored: boolean;
  answered: Deferred<boolean>;
}

/** Piped lines that may wait for the answer to an earlier one. */
const waitingMax = 1000;
const urgent = /^\s*\/(?:stop|status)\b/;
const attachHelp = '/attach PATH [TEXT] sends a file of this machine.';

/**
 * Text of agents and other people, without characters that control a terminal or change the
 * direction of text.
 */
function harmless(text: string): string {
  return printable(text).replace(/[\u202A-\u202E\u2066-\u2069]/g, '\uFFFD');
}

/** UTF-16 units of the agent's activity that the prompt shows. */
const activityMax = 50;

class ChatSession {
  readonly welcomed = deferred<void>();
  readonly #socket: Socket;
  readonly #options: ChatOptions;
  readonly #shown = new Set<string>();
  #assistantName = '';
  #hasLeft = false;
  #activity: { text: string; sinceMs: number } | undefined;
  #terminal: Interface | undefined;
  readonly #open = new Map<string, Line>();

  constructor(socket: Socket, options: ChatOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  /** Shows what the host sends. Resolves when the host goes away. */
  async listen(): Promise<number> {
    try {
      for await (const message of readLines(this.#socket, toTerminalSchema)) this.#hear(message);
    } catch (error) {
      if (error instanceof UserError) throw error;
    }
    if (!this.#hasLeft) this.#print(['The host has stopped.', ...this.#openLines()].join('\n'));
    this.#terminal?.close();
    return 1;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#socket.end();
  }

  /** Reads a person's lines until Ctrl-D. */
  async talk(): Promise<number> {
    const { input, output } = this.#options;
    const terminal = createInterface({ input, output });
    this.#terminal = terminal;
    const ticking = setInterval(() => this.#activity && this.#prompt(), 1000);
    terminal.on('line', (line) => {
      if (line.trim()) this.#send(this.#note(line));
      this.#prompt();
    });
    terminal.on('SIGINT', () => {
      if (this.#activity) this.#send(this.#note('/stop'));
      else {
        terminal.write(null, { ctrl: true, name: 'u' });
        this.#print('Ctrl-D leaves. /help lists the commands that need no model.');
      }
    });
    this.#prompt();
    await once(terminal, 'close');
    clearInterval(ticking);
    output.write('\n');
    return 0;
  }

  /** Sends each line of the input once the previous one is answered, and urgent ones at once. */
  async pipe(): Promise<number> {
    let status = 0;
    let waiting = 0;
    let last = Promise.resolve();
    for await (const text of createInterface({ input: this.#options.input })) {
      if (!text.trim()) continue;
      const line = this.#note(text);
      if (waiting > 0 && urgent.test(text)) {
        this.#send(line);
        continue;
      }
      waiting += 1;
      last = last.then(async () => {
        this.#send(line);
        if (!(await line.answered.promise)) status = 1;
        waiting -= 1;
      });
      if (waiting >= waitingMax) await last;
    }
    await last;
    return status;
  }

  #note(text: string): Line {
    const line = { id: randomUUID(), text, isStored: false, answered: deferred<boolean>() };
    this.#open.set(line.id, line);
    return line;
  }

  #send({ id, text }: Line): void {
    try {
      sendLine(this.#socket, { kind: 'message', id, ...messageFrom(text) });
      if (text.trim() === '/help') this.#print(attachHelp);
    } catch (error) {
      this.#lose(id, error instanceof Error ? error.message : String(error));
    }
  }

  #lose(id: string, reason: string): void {
    this.#print(`Not sent: ${reason}`);
    this.#close(id, false);
  }

  #close(id: string, isAnswered: boolean): void {
    this.#open.get(id)?.answered.resolve(isAnswered);
    this.#open.delete(id);
  }

  /** What became of the lines that have no answer. */
  #openLines(): string[] {
    return [...this.#open.values()].map(({ isStored, text }) => {
      const fate = isStored ? 'Stored, to be answered when it runs again' : 'Not stored, so lost';
      return `${fate}: ${text}`;
    });
  }

  #hear(message: ToTerminal): void {
    switch (message.kind) {
      case 'welcome':
        this.#assistantName = message.assistantName;
        if (message.needsTrigger && this.#options.isInteractive)
          this.#print(
            `Begin with @${message.assistantName} to get an answer; everyone here can read along.`,
          );
        this.welcomed.resolve();
        break;
      case 'refused':
        throw new UserError(message.reason);
      case 'stored': {
        const line = this.#open.get(message.id);
        if (line) line.isStored = true;
        break;
      }
      case 'unstored':
        this.#lose(message.id, message.reason);
        break;
      case 'deliver':
        this.#show(message);
        sendLine(this.#socket, { kind: 'ack', id: message.id });
        break;
      case 'said':
        this.#print(`${message.senderName}: ${message.text}`);
        break;
      case 'activity':
        this.#activity =
          message.text === null
            ? undefined
            : { text: message.text, sinceMs: this.#activity?.sinceMs ?? Date.now() };
        this.#prompt();
        break;
      case 'state':
        if (message.state === 'open') break;
        for (const { id, isStored } of this.#open.values())
          if (isStored) this.#close(id, message.state === 'settled');
        break;
    }
  }

  /** Skips a message that was shown before: it is resent if its acknowledgement was lost. */
  #show({ id, text, file }: ToTerminal & { kind: 'deliver' }): void {
    if (this.#shown.has(id)) return;
    this.#shown.add(id);
    const lines = text ? [text] : [];
    if (file) lines.push(`[${file.name}, ${file.sizeBytes} bytes: ${file.hostPath}]`);
    const name = this.#options.isInteractive ? `${this.#assistantName}: ` : '';
    this.#print(`${name}${lines.join('\n')}`);
  }

  #print(text: string): void {
    const { output } = this.#options;
    if (this.#terminal) output.write('\r\u001b[J');
    output.write(`${harmless(text)}\n`);
    this.#prompt();
  }

  /** Shows what the agent is doing as part of the prompt, so that it never disturbs typing. */
  #prompt(): void {
    if (!this.#terminal) return;
    const { as } = this.#options;
    const seconds = Math.round((Date.now() - (this.#activity?.sinceMs ?? 0)) / 1000);
    const activity = clip(harmless(this.#activity?.text ?? ''), activityMax).replace(/\s/g, ' ');
    const sign = this.#activity ? `[${this.#assistantName} ${seconds} s: ${activity}] ` : '';
    this.#terminal.setPrompt(`${sign}${as}> `);
    this.#terminal.prompt(true);
  }
}
