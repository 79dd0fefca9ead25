import { expect, test } from 'vitest';
import { agentBench } from '../../test/support/agent-process.ts';

const bench = agentBench();

test('the agent sends a message while it works, and hears that it was sent', async () => {
  bench.model
    .on('work')
    .callTool('mcp__nanoclaw__send_message', { text: 'I am on it' })
    .thenReply((result) => `The host said: ${result}`);
  const agent = bench.start();
  agent.prompt('work');
  const { requestId, tool, args } = await agent.next('request');
  expect({ tool, args }).toEqual({ tool: 'send_message', args: { text: 'I am on it' } });
  agent.send({ kind: 'response', requestId, ok: true, text: 'Sent.' });
  expect((await agent.next('turn_done')).text).toBe('The host said: Sent.');
});

test('a refusal of the host reaches the agent as an error', async () => {
  bench.model
    .on('send it')
    .callTool('mcp__nanoclaw__send_file', { path: '../other/secret', caption: 'look' })
    .thenReply(
      (result, call) =>
        `${result}, error: ${JSON.stringify(call.body).includes('"is_error":true')}`,
    );
  const agent = bench.start();
  agent.prompt('send it');
  const { requestId, tool, args } = await agent.next('request');
  expect({ tool, args }).toEqual({
    tool: 'send_file',
    args: { path: '../other/secret', caption: 'look' },
  });
  agent.send({ kind: 'response', requestId, ok: false, text: 'That is not in your folder.' });
  expect((await agent.next('turn_done')).text).toBe('That is not in your folder., error: true');
});

test('the agent sees the tools at once, and none that plan, schedule or ask', async () => {
  const agent = bench.start();
  agent.prompt('hello');
  const { body } = await bench.model.call('hello');
  const names = (body as { tools?: { name: string }[] }).tools?.map(({ name }) => name).sort();
  expect(names).toEqual([
    'Bash',
    'Edit',
    'Read',
    'WebFetch',
    'WebSearch',
    'Write',
    'mcp__nanoclaw__list_groups',
    'mcp__nanoclaw__react',
    'mcp__nanoclaw__register_group',
    'mcp__nanoclaw__send_file',
    'mcp__nanoclaw__send_message',
  ]);
});
