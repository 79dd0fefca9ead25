import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Script } from '../../test/scripted-model/scripted-model.ts';
import { agentBench } from '../../test/support/agent-process.ts';

const bench = agentBench();
/** The shortest that `claude` takes. */
const modelSilenceMaxMs = 10_000;

describe('when the model fails', { timeout: 90_000 }, () => {
  const refusals: [string, number, (script: Script) => void][] = [
    ['refuses the credential', 401, (script) => script.fail(401)],
    ['forbids', 403, (script) => script.fail(403)],
    [
      'finds the prompt too long',
      400,
      (script) =>
        script.fail(400, { message: 'prompt is too long: 250000 tokens > 200000 maximum' }),
    ],
    ['is overloaded', 529, (script) => script.fail(529, { headers: { 'retry-after': '0' } })],
    ['limits the rate', 429, (script) => script.fail(429, { headers: { 'retry-after': '0' } })],
  ];
  test.each(refusals)(
    'it %s: the prompt ends in an error with status %i',
    async (_, status, fail) => {
      fail(bench.model.on('hello'));
      const agent = bench.start();
      const uuid = agent.prompt('hello');
      const done = await agent.next('turn_done');
      expect(done).toMatchObject({ uuids: [uuid], text: '', error: { status } });
    },
  );

  const faults: [string, (script: Script) => void][] = [
    ['sends what is no answer', (script) => script.malformed()],
    ['sends a web page', (script) => script.html()],
    ['sends nothing', (script) => script.empty()],
  ];
  test.each(faults)('it %s: the prompt ends in an error without a status', async (_, fault) => {
    fault(bench.model.on('hello'));
    const agent = bench.start();
    const uuid = agent.prompt('hello');
    const done = await agent.next('turn_done');
    expect(done).toMatchObject({ uuids: [uuid], text: '', error: { status: null } });
    expect(done.error?.message).toMatch(/API Error/);
  });

  test('it is busy for a moment: the retry is told, and the prompt answered', async () => {
    bench.model.on('hello').fail(529, { times: 1 }).reply('here I am');
    const agent = bench.start();
    agent.prompt('hello');
    expect(await agent.next('turn_done')).toMatchObject({ text: 'here I am', error: null });
    expect(agent.received).toContainEqual({
      kind: 'progress',
      text: 'The model is busy or away; retry 1 of 3',
    });
  });

  const silences: [string, (script: Script) => Script][] = [
    ['never begins to answer', (script) => script.hang({ times: 1 })],
    ['stops in the middle', (script) => script.stall({ times: 1 })],
  ];
  test.each(silences)('it %s: the call is cut and made again', async (_, silence) => {
    silence(bench.model.on('hello')).reply('here I am');
    const agent = bench.start({ modelSilenceMaxMs });
    agent.prompt('hello');
    expect(await agent.next('turn_done')).toMatchObject({ text: 'here I am', error: null });
  });

  test('it is silent for good: the prompt ends in an error after four calls', async () => {
    bench.model.on('hello').stall();
    const agent = bench.start({ modelSilenceMaxMs });
    const uuid = agent.prompt('hello');
    const done = await agent.next('turn_done');
    expect(done).toMatchObject({ uuids: [uuid], text: '', error: { status: null } });
    expect(bench.model.calls).toHaveLength(4);
  });

  test('it is slow but not silent: the answer is waited for', async () => {
    bench.model.on('hello').drip([' say', ' some', 'thing', ' very', ' slowly', '.']);
    const agent = bench.start({ modelSilenceMaxMs });
    agent.prompt('hello');
    expect((await agent.next('turn_done')).text).toBe('I was about to say something very slowly.');
    expect(bench.model.calls).toHaveLength(1);
  });

  test('it is back again: the same session goes on', async () => {
    bench.model.on('hello').fail(403, { times: 1 }).reply('here I am');
    const agent = bench.start();
    agent.prompt('hello');
    expect((await agent.next('turn_done')).error).not.toBeNull();
    agent.prompt('hello again');
    expect(await agent.next('turn_done')).toMatchObject({ text: 'here I am', error: null });
  });
});

describe('when the agent cannot go on', () => {
  test('a session that does not exist is lost', async () => {
    const agent = bench.start({ sessionId: '99999999-0000-4000-8000-000000000000' });
    agent.prompt('hello');
    expect(await agent.next('failed')).toMatchObject({ reason: 'session-lost' });
    expect(await agent.exit()).toBe(1);
    expect(agent.received).toHaveLength(1);
  });

  test('the death of claude in mid-turn is told', async () => {
    bench.model.on('hello').hang();
    const agent = bench.start();
    agent.prompt('hello');
    await bench.model.call('hello');
    const [claude] = agent.descendants();
    if (claude) process.kill(claude, 'SIGKILL');
    const failed = await agent.next('failed');
    expect(failed).toMatchObject({ reason: 'crashed' });
    expect(failed.detail).toContain('SIGKILL');
    expect(await agent.exit()).toBe(1);
  });

  test('a claude that cannot start is told', async () => {
    const agent = bench.start({ claudePath: '/nowhere/claude' });
    expect(await agent.next('failed')).toMatchObject({ reason: 'crashed' });
    expect(await agent.exit()).toBe(1);
  });

  test('a file of the host that cannot be read is told', async () => {
    const agent = bench.start();
    writeFileSync(agent.nextInboxPath(), 'not JSON');
    expect(await agent.next('failed')).toMatchObject({ reason: 'crashed' });
    expect(await agent.exit()).toBe(1);
  });
});

describe('when the host closes', () => {
  test('an idle agent leaves by itself, and claude with it', async () => {
    const agent = bench.start();
    agent.prompt('hello');
    await agent.next('turn_done');
    const left = agent.descendants();
    expect(left).not.toHaveLength(0);
    expect(await agent.close()).toBe(0);
    expect(left.filter(isAlive)).toEqual([]);
    expect(agent.received.map(({ kind }) => kind)).not.toContain('failed');
  });
});

/** A zombie is dead; its parent only has not heard of it. */
function isAlive(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return /^[^Z]/.test(stdout.trim());
}
