/**
 * One agent from `start` to exit: the host's files go into the session, what the session
 * says goes out as files. Every way to end has its exit code and, where the host must know,
 * a last file. Opens no connection; that is the wire's.
 */
import type { InFile } from '../../src/protocol.ts';
import { Answers } from './answers.ts';
import { readInbox } from './inbox.ts';
import { cut, Outbox } from './outbox.ts';
import { Prompts } from './prompts.ts';
import { type ClaudeSettings, openSession, type Start } from './session.ts';
import { HostTools } from './tools.ts';

export const exitCodes = { closed: 0, crashed: 1, sessionLost: 3, wireClosed: 4 } as const;

export interface Settings extends ClaudeSettings {
  inboxDir: string;
  outboxDir: string;
  /** The longest wait for `claude` to leave after `close`. */
  closeTimeoutMs: number;
}

/** Runs the agent and in the end exits the process. `in/000001.json` is `start`. */
export function runAgent(settings: Settings): void {
  const outbox = new Outbox(settings.outboxDir);
  const answers = new Answers(outbox);
  const prompts = new Prompts(settings.groupDir);
  const tools = new HostTools(outbox);
  let isClosing = false;

  const converse = async (start: Start): Promise<void> => {
    const messages = openSession(settings, start, { prompts, tools });
    for await (const message of messages) answers.take(message);
    if (!isClosing) throw new Error('claude left by itself');
    process.exit(exitCodes.closed);
  };
  const close = (): void => {
    isClosing = true;
    prompts.end();
    setTimeout(() => process.exit(exitCodes.closed), settings.closeTimeoutMs);
  };
  const take = (file: InFile): void => {
    switch (file.kind) {
      case 'start':
        converse(file).catch((error) => fail(outbox, error));
        break;
      case 'prompt':
        answers.expect(file.uuid);
        prompts.push(file);
        break;
      case 'response':
        tools.answer(file);
        break;
      case 'close':
        close();
        break;
    }
  };

  // Rejections that nobody handles come here too.
  process.on('uncaughtException', (error) => fail(outbox, error));
  readInbox(settings.inboxDir, take);
}

/** Tells the host that the session cannot go on, and exits. */
function fail(outbox: Outbox, error: unknown): void {
  const detail = error instanceof Error ? error.message : String(error);
  const isLost = detail.includes('No conversation found');
  try {
    const reason = isLost ? 'session-lost' : 'crashed';
    outbox.write({ kind: 'failed', reason, detail: cut(detail, 2000) });
  } catch (writeError) {
    console.error(writeError); // The disk is full; the exit code still tells.
  }
  process.exit(isLost ? exitCodes.sessionLost : exitCodes.crashed);
}
