import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { type AgentProcess, agentBench } from '../../test/support/agent-process.ts';

const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const bench = agentBench();

describe('a conversation with the agent', () => {
  test('answers a prompt, and tells session, cost and tokens', async () => {
    bench.model.on('hello').reply('hi there');
    const agent = bench.start();
    const uuid = agent.prompt('hello');
    const { sessionId } = await agent.next('session');
    expect(await agent.next('turn_done')).toMatchObject({
      uuids: [uuid],
      text: 'hi there',
      error: null,
      sessionId,
      inputTokens: expect.any(Number),
      outputTokens: 50,
    });
    expect(agent.received.map(({ kind }) => kind)).toEqual(['progress', 'session', 'turn_done']);
    expect(agent.stdout).toBe('');
  });

  test('shows a sign of life before the model answers, and no session that is not on disk', async () => {
    bench.model.on('hello').hang();
    const agent = bench.start();
    agent.prompt('hello');
    await bench.model.call('hello');
    expect(await agent.next('progress')).toMatchObject({ text: 'thinking' });
    expect(agent.received).toHaveLength(1);
  });

  test('runs a tool in the group folder and says which one', async () => {
    bench.model
      .on('count')
      .callTool('Bash', { command: 'cd .\npwd', description: 'Look where I am' })
      .thenReply((result) => `I am in ${result}`);
    const agent = bench.start();
    agent.prompt('count');
    expect((await agent.next('turn_done')).text).toBe(`I am in ${agent.groupDir}`);
    expect((await agent.next('progress')).text).toBe('thinking');
    expect((await agent.next('progress')).text).toBe('Bash: cd . pwd');
  });

  test('is shown a picture, and told of one that cannot be read', async () => {
    bench.model.on('look').reply('a dot');
    const agent = bench.start();
    writeFileSync(join(agent.groupDir, 'dot.png'), Buffer.from(pixel, 'base64'));
    writeFileSync(join(agent.groupDir, 'text.png'), 'no picture');
    agent.prompt('look', ['dot.png', 'gone.png', 'text.png']);
    const { body } = await bench.model.call('look');
    const sent = JSON.stringify(body.messages);
    expect(sent).toContain(`"media_type":"image/png","data":"${pixel}"`);
    expect(sent).toMatch(/The image gone.png could not be shown: .*ENOENT/);
    expect(sent).toMatch(/The image text.png could not be shown: .*no PNG/);
    expect((await agent.next('turn_done')).text).toBe('a dot');
  });

  test('knows its instructions, its memory and the memory of all', async () => {
    const agent = bench.start();
    writeFileSync(join(agent.groupDir, 'CLAUDE.md'), 'Max is a cat.');
    writeFileSync(join(agent.globalDir, 'CLAUDE.md'), 'The house is green.');
    agent.prompt('hello');
    const request = JSON.stringify((await bench.model.call('hello')).body);
    for (const text of ['You are Andy.', 'Max is a cat.', 'The house is green.'])
      expect(request).toContain(text);
  });

  test('goes on with an earlier session, and has new instructions', async () => {
    bench.model.on('remember').reply('I will');
    const first = bench.start();
    first.prompt('remember 42');
    const { sessionId, totalCostUsd } = await first.next('turn_done');
    expect(await first.close()).toBe(0);

    const second = bench.start({ sessionId, instructions: 'You are Beth.' });
    second.prompt('what was it?');
    const request = JSON.stringify((await bench.model.call('what was it?')).body);
    expect(request).toContain('remember 42');
    expect(request).toContain('You are Beth.');
    const done = await second.next('turn_done');
    expect(done.sessionId).toBe(sessionId);
    expect(done.totalCostUsd).toBeGreaterThan(totalCostUsd);
  });

  test('takes what people write literally', async () => {
    const agent = bench.start();
    writeFileSync(join(agent.groupDir, 'secret.txt'), 'the content of the file');
    agent.prompt('/compact @secret.txt');
    const { body } = await bench.model.call('/compact @secret.txt');
    expect(JSON.stringify(body)).not.toContain('the content of the file');
  });
});

describe('messages that come while the agent works', () => {
  /** Resolves when `claude` itself holds so many prompts, so that the test may go on. */
  const areQueued = (agent: AgentProcess, count: number) =>
    vi.waitUntil(() => agent.transcript().split('"operation":"enqueue"').length > count, {
      timeout: 10_000,
      interval: 20,
    });

  test('join the running turn between two tool calls', async () => {
    bench.model.on('slow').callTool('Bash', { command: 'cat gate' });
    bench.model.on('hurry').reply((result) => `hurried after ${result}`);
    const agent = bench.start();
    const gate = join(agent.groupDir, 'gate');
    execFileSync('mkfifo', [gate]);
    const first = agent.prompt('slow');
    await bench.model.call('slow');
    const second = agent.prompt('hurry');
    await areQueued(agent, 2);
    writeFileSync(gate, 'the gate opened');
    const done = await agent.next('turn_done');
    expect(done.uuids).toEqual([first, second]);
    expect(done.text).toBe('hurried after the gate opened');
  });

  test('make one new turn when they come too late for the running one', async () => {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    bench.model.on('first').answer(async () => {
      await released;
      return 'one';
    });
    bench.model.on(/second\n+third/).reply('two and three');
    const agent = bench.start();
    const first = agent.prompt('first');
    await bench.model.call('first');
    const late = [agent.prompt('second'), agent.prompt('third')];
    await areQueued(agent, 3);
    release();
    expect(await agent.next('turn_done')).toMatchObject({ uuids: [first], text: 'one' });
    expect(await agent.next('turn_done')).toMatchObject({ uuids: late, text: 'two and three' });
  });

  test('all get an answer, more of them than a result can name', async () => {
    const agent = bench.start();
    const uuids = Array.from({ length: 70 }, (_, n) => agent.prompt(`message ${n}`));
    const answered = new Set<string>();
    while (answered.size < uuids.length)
      for (const uuid of (await agent.next('turn_done')).uuids) {
        expect(answered).not.toContain(uuid);
        answered.add(uuid);
      }
    expect(answered).toEqual(new Set(uuids));
  });
});
