import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type AgentOptions, AgentProcess, bundleRunner } from '../../test/agent-process.ts';
import {
  type ScriptedModel,
  startScriptedModel,
} from '../../test/scripted-model/scripted-model.ts';

const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

let program: string;
let programDir: string;
let dir: string;
let model: ScriptedModel;
let agents: AgentProcess[] = [];

beforeAll(async () => {
  programDir = await mkdtemp(join(tmpdir(), 'agent-program-'));
  program = await bundleRunner(programDir);
});
afterAll(() => rm(programDir, { recursive: true }));

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'agent-'));
  model = await startScriptedModel();
});
afterEach(async () => {
  for (const agent of agents) {
    agent.child.kill();
    await agent.exit();
  }
  agents = [];
  await model.close();
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

function startAgent(options: Partial<AgentOptions> = {}): AgentProcess {
  const agent = new AgentProcess({ program, dir, modelUrl: model.url, ...options });
  agents.push(agent);
  return agent;
}

describe('a conversation with the agent', () => {
  test('answers a prompt, and tells session, cost and tokens', async () => {
    model.on('hello').reply('hi there');
    const agent = startAgent();
    const uuid = agent.prompt('hello');
    const { sessionId } = await agent.next('session');
    expect(await agent.next('turn_done')).toMatchObject({
      uuids: [uuid],
      text: 'hi there',
      error: null,
      sessionId,
      inputTokens: 1000,
      outputTokens: 50,
    });
    expect(agent.received.map(({ kind }) => kind)).toEqual(['session', 'turn_done']);
    expect(agent.stdout).toBe('');
  });

  test('runs a tool in the group folder and says which one', async () => {
    model
      .on('count')
      .callTool('Bash', { command: 'pwd', description: 'Look where I am' })
      .thenReply((result) => `I am in ${result}`);
    const agent = startAgent();
    agent.prompt('count');
    expect((await agent.next('turn_done')).text).toBe(`I am in ${agent.groupDir}`);
    expect((await agent.next('progress')).text).toBe('Bash: Look where I am');
  });

  test('is shown a picture, and told of one that cannot be read', async () => {
    model.on('look').reply('a dot');
    const agent = startAgent();
    writeFileSync(join(agent.groupDir, 'dot.png'), Buffer.from(pixel, 'base64'));
    agent.prompt('look', [
      { path: 'dot.png', mime: 'image/png' },
      { path: 'gone.png', mime: 'image/png' },
      { path: 'dot.png', mime: 'image/x-unknown' },
    ]);
    const { body } = await model.call('look');
    const sent = JSON.stringify(body.messages);
    expect(sent).toContain(`"media_type":"image/png","data":"${pixel}"`);
    expect(sent).toMatch(/The image gone.png could not be shown: .*ENOENT/);
    expect(sent).toContain('The image dot.png could not be shown: its type is not known');
    expect((await agent.next('turn_done')).text).toBe('a dot');
  });

  test('knows its instructions, its memory and the memory of all', async () => {
    const agent = startAgent();
    writeFileSync(join(agent.groupDir, 'CLAUDE.md'), 'Max is a cat.');
    writeFileSync(join(agent.globalDir, 'CLAUDE.md'), 'The house is green.');
    agent.prompt('hello');
    const request = JSON.stringify((await model.call('hello')).body);
    for (const text of ['You are Andy.', 'Max is a cat.', 'The house is green.'])
      expect(request).toContain(text);
  });
});
