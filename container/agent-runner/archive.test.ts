import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { unanswered } from '../../test/scripted-model/scripted-model.ts';
import { agentBench } from '../../test/support/agent-process.ts';
import { archiveConversation } from './archive.ts';

const bench = agentBench();

test('compaction leaves the conversation in the group folder', async () => {
  bench.model.on('the cat').answer(({ response, body }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(hugeAnswer(body.model, 'Noted: Max.'));
    return unanswered;
  });
  const agent = bench.start();
  agent.prompt('the cat is called Max');
  await agent.next('turn_done');
  agent.prompt('how is it called, again?');
  await agent.next('turn_done');
  expect(readArchive(agent.groupDir)).toMatch(
    /^\*\*User\*\* \(.*\)\n\nthe cat is called Max\n\n\*\*You\*\* \(.*\)\n\nNoted: Max\.\n\n(\*\*User\*\* \(.*\)\n\nhow is it called, again\?\n\n)?$/,
  );
});

test('an archive holds what people and agent said and nothing else', async () => {
  const lines = [
    { type: 'user', message: { content: 'asked' } },
    { type: 'assistant', message: { content: [{ type: 'text', text: 'answered' }] } },
    { type: 'system', subtype: 'compact_boundary' },
    { type: 'user', isCompactSummary: true, message: { content: 'a summary' } },
    { type: 'api-request-blob', message: { role: 'user', content: 'an internal line' } },
    { type: 'user', isMeta: true, message: { content: 'a reminder' } },
    { type: 'assistant', message: { content: [{ type: 'tool_use', name: 'Bash', input: {} }] } },
    { type: 'user', message: { content: [{ type: 'tool_result', content: 'tool output' }] } },
    { type: 'attachment', attachment: { type: 'queued_command', prompt: 'asked in mid-turn' } },
    { type: 'attachment', attachment: { type: 'environment', prompt: 'an environment' } },
    { type: 'assistant', message: { content: [{ type: 'text', text: 'the answer' }] } },
  ].map((line) => JSON.stringify({ ...line, timestamp: '2026-03-01T08:05:00.000Z' }));
  const path = join(bench.dir, 'transcript.jsonl');
  writeFileSync(path, `${lines.join('\n')}\nnull\n[]\n{"type":"user","mess`);
  await archive(path);
  const said = readArchive(bench.dir)
    .split('\n')
    .filter((line) => /^[a-z]/.test(line));
  expect(said).toEqual(['asked', 'answered', 'asked in mid-turn', 'the answer']);
});

test('a transcript that cannot be read does not stop the compaction', async () => {
  const logged = vi.spyOn(console, 'error').mockReturnValue();
  expect(await archive('/nowhere/transcript.jsonl')).toEqual({});
  expect(logged).toHaveBeenCalledOnce();
});

function archive(transcriptPath: string) {
  const input = {
    hook_event_name: 'PreCompact' as const,
    trigger: 'auto' as const,
    custom_instructions: null,
    session_id: '0123456789abcdef',
    transcript_path: transcriptPath,
    cwd: bench.dir,
  };
  return archiveConversation(bench.dir)(input, undefined, { signal: new AbortController().signal });
}

/** The one archive of a group. */
function readArchive(groupDir: string): string {
  const dir = join(groupDir, 'conversations');
  const names = readdirSync(dir);
  expect(names).toEqual([expect.stringMatching(/^[0-9a-f-]+\.md$/)]);
  return readFileSync(join(dir, String(names[0])), 'utf8');
}

/** A streamed answer after which the context counts as full. */
function hugeAnswer(model: string, text: string): string {
  const usage = { input_tokens: 990_000, output_tokens: 50 };
  const message = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage,
  };
  return [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage },
    { type: 'message_stop' },
  ]
    .map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    .join('');
}
