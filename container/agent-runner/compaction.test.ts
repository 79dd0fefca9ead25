/** A session that does not grow without end: what `claude` sends with the n-th message. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentBench } from '../../test/support/agent-process.ts';

const bench = agentBench();
const messages = 24;
/** About 3,000 tokens, so that all answers together exceed the window. */
const answer = 'The tram to the market leaves at ten past nine. '.repeat(250);
/** What session.ts sets, and the message at which it is passed. */
const tokensMax = 45_000;

test('it stays small however many messages there are, and what was said is kept', {
  timeout: 180_000,
}, async () => {
  bench.model.otherwise(answer);
  bench.model.on('Respond with TEXT ONLY').reply('<summary>There was talk of trams.</summary>');
  const agent = bench.start();
  for (let count = 0; count < messages; count += 1) {
    agent.prompt(`message ${count} of the person`);
    expect((await agent.next('turn_done')).error).toBeNull();
  }
  const prompts = bench.model.calls.filter(({ said }) => said.includes('of the person'));
  const sizes = prompts.map(({ body }) => Math.ceil(JSON.stringify(body).length / 4));
  expect(prompts).toHaveLength(messages);
  expect((messages * answer.length) / 4).toBeGreaterThan(tokensMax);
  expect(Math.max(...sizes)).toBeLessThan(tokensMax);
  const last = JSON.stringify(bench.model.calls.at(-1)?.body);
  expect(last).toContain(`message ${messages - 1} of the person`);
  expect(last).not.toContain('message 0 of the person');
  expect(last).toContain('There was talk of trams.');
  const dir = join(agent.groupDir, 'conversations');
  const archive = readdirSync(dir).map((name) => readFileSync(join(dir, name), 'utf8'));
  expect(archive.join('')).toContain('message 0 of the person');
});
