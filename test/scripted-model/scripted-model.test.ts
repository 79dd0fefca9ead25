import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { query, type SDKMessage, type SDKUserMessage } from '@anthropic-ai/claude-agent-sdk';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ScriptedModel, startScriptedModel } from './scripted-model.ts';

let model: ScriptedModel;
let home: string;

beforeEach(async () => {
  model = await startScriptedModel();
  home = await mkdtemp(join(tmpdir(), 'scripted-model-'));
});

afterEach(async () => {
  await model.close();
  await rm(home, { recursive: true, force: true, maxRetries: 5 });
});

/** Asks the real SDK with the real binary; returns the result's text, or its error. */
async function ask(
  prompt: string | AsyncIterable<SDKUserMessage>,
  options: { resume?: string; onMessage?: (message: SDKMessage) => void } = {},
) {
  const { onMessage, ...rest } = options;
  const session = query({
    prompt,
    options: {
      cwd: home,
      permissionMode: 'bypassPermissions',
      allowDangerouslySkipPermissions: true,
      settingSources: [],
      tools: ['Bash'],
      env: {
        PATH: process.env.PATH,
        HOME: home,
        IS_SANDBOX: '1',
        ANTHROPIC_BASE_URL: model.url,
        ANTHROPIC_API_KEY: 'placeholder',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
        DISABLE_AUTOUPDATER: '1',
        CLAUDE_CODE_MAX_RETRIES: '2',
      },
      ...rest,
    },
  });
  for await (const message of session) {
    onMessage?.(message);
    if (message.type === 'result')
      return {
        text: message.subtype === 'success' ? message.result : message.errors.join('\n'),
        isError: message.is_error,
        sessionId: message.session_id,
      };
  }
  throw new Error('The session ended without a result.');
}

function userMessage(text: string): SDKUserMessage {
  return {
    type: 'user',
    message: { role: 'user', content: text },
    parent_tool_use_id: null,
    uuid: randomUUID(),
  };
}

describe('the scripted model, asked by the real agent', { timeout: 60_000 }, () => {
  test('answers as the script says', async () => {
    model.on('hello').reply('hi, how are you? 🙂');
    expect(await ask('hello there')).toMatchObject({ text: 'hi, how are you? 🙂', isError: false });
    expect((await model.call('hello there')).body.model).toMatch(/claude/);
  });

  test('gives the default answer when no rule matches', async () => {
    model.on('hello').reply('hi');
    model.otherwise('I know nothing');
    expect((await ask('good evening')).text).toBe('I know nothing');
  });

  test('has the agent run a tool and answers with its output', async () => {
    model
      .on(/count/)
      .callTool('Bash', { command: 'echo $((40 + 2))' })
      .thenReply((result) => `The shell says ${result}`);
    expect((await ask('count')).text).toBe('The shell says 42');
    expect(model.calls.map(({ said }) => said)).toEqual(['count', '']);
  });

  test('receives a message that joins while a tool runs', async () => {
    const gate = join(home, 'gate');
    execFileSync('mkfifo', [gate]);
    model.on('slow').callTool('Bash', { command: 'cat gate' }).thenReply('slow is done');
    model.on('hurry').reply((result) => `hurried after ${result}`);
    const inbox = new PassThrough({ objectMode: true });
    inbox.write(userMessage('slow'));
    const hurry = userMessage('please hurry');
    const answer = await ask(inbox, {
      onMessage: (message) => {
        if (message.type === 'assistant') inbox.write(hurry);
        const event = JSON.stringify(message);
        // The client has queued the message, so the tool may end now.
        if (event.includes(`${hurry.uuid}`) && event.includes('"queued"'))
          void writeFile(gate, 'the gate opened');
      },
    });
    expect(answer.text).toBe('hurried after the gate opened');
    expect((await model.call('hurry')).toolResults).toEqual(['the gate opened']);
  });

  test('is overloaded twice, then answers', async () => {
    model
      .on('busy')
      .fail(529, { times: 2, headers: { 'retry-after': '0' } })
      .reply('here I am');
    expect(await ask('busy?')).toMatchObject({ text: 'here I am', isError: false });
    expect(model.calls).toHaveLength(3);
  });

  test('fails permanently when told to', async () => {
    model.on('forbidden').fail(403, { message: 'not you' });
    const answer = await ask('forbidden');
    expect(answer.isError).toBe(true);
    expect(answer.text).toContain('not you');
  });

  test.each(['malformed', 'html', 'empty'] as const)('sends %s answers', async (fault) => {
    model.on('odd')[fault]();
    expect((await ask('odd')).isError).toBe(true);
  });

  test('recovers when only the first answer is malformed', async () => {
    model.on('odd').malformed({ times: 1 }).reply('better');
    expect(await ask('odd')).toMatchObject({ text: 'better', isError: false });
  });

  test('keeps the position in a script across a resumed session', async () => {
    model.on('one').reply('first');
    model.on('two').reply((_, call) => `history has ${call.body.messages.length > 2}`);
    const first = await ask('one');
    expect((await ask('two', { resume: first.sessionId })).text).toBe('history has true');
  });

  test.each(['hang', 'stall'] as const)('sees the client leave when it %ss', async (fault) => {
    model.on('wait')[fault]();
    const request = new AbortController();
    const asked = fetch(`${model.url}/v1/messages`, {
      method: 'POST',
      signal: request.signal,
      body: JSON.stringify({
        model: 'm',
        stream: true,
        messages: [{ role: 'user', content: 'wait' }],
      }),
    }).then((response) => response.text());
    const call = await model.call('wait');
    request.abort();
    await expect(asked).rejects.toThrow('abort');
    await call.cancelled;
  });

  test('lists the received calls when the awaited call does not come', async () => {
    await ask('something else');
    await expect(model.call('hello', { timeoutMs: 10 })).rejects.toThrow('something else');
  });
});
