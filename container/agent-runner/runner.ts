/**
 * Runs one agent from `start` to exit: files of the host go into the session, messages of the
 * session go out as files. Opens no connections; the wire does.
 */
import { PassThrough } from 'node:stream';
import { type Options, query } from '@anthropic-ai/claude-agent-sdk/core';
import { clip } from '../../src/text.ts';
import { createReporter } from './answers.ts';
import { openOutbox, readInbox } from './files.ts';
import { userMessages } from './prompts.ts';
import { type Settings, sessionOptions } from './session.ts';
import { HostTools } from './tools.ts';

/** Exits the process: with 0 once it is idle after `close`, with 1 after it has written `failed`. */
export function runAgent(settings: Settings): void {
  const write = openOutbox(settings.dirs.outbox);
  const tools = new HostTools(write);
  const report = createReporter(write);
  // Stays open so that prompts can join a running turn.
  const prompts = new PassThrough({ objectMode: true });

  const converse = async (options: Options): Promise<void> => {
    const prompt = userMessages(prompts, settings.dirs.group);
    for await (const message of query({ prompt, options })) report(message);
    if (!prompts.writableEnded) throw new Error('claude left by itself');
    process.exit(0);
  };

  // Unhandled rejections arrive here too.
  process.on('uncaughtException', (error) => {
    console.error(error); // First, because writing the file fails when the disk is full.
    const isLost = error.message.includes('No conversation found');
    const reason = isLost ? 'session-lost' : 'crashed';
    write({ kind: 'failed', reason, detail: clip(error.message, 2000) });
    process.exit(1);
  });
  readInbox(settings.dirs.inbox, (file) => {
    switch (file.kind) {
      case 'start':
        void converse({
          ...sessionOptions(settings, file),
          mcpServers: { nanoclaw: tools.serve(file.tools) },
          ...(file.model !== null && { model: file.model }),
        });
        break;
      case 'prompt':
        prompts.write(file);
        break;
      case 'response':
        tools.answer(file.requestId, file);
        break;
      case 'close':
        prompts.end();
    }
  });
}
