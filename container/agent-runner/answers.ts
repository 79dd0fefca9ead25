/**
 * Turns the messages of the session into files for the host. Each prompt ends in exactly one
 * `turn_done`; none is dropped without a word.
 */
import type { SDKMessage, SDKResultMessage } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';
import { textMax } from '../../src/protocol.ts';
import { clip } from '../../src/text.ts';
import type { Write } from './files.ts';

const errorMax = 2000;
const progressMax = 80;

/** What `claude` reports about a queued prompt; the SDK's types do not name it. */
const stepSchema = z.object({
  type: z.literal('command_lifecycle'),
  command_uuid: z.string(),
  state: z.string(),
});

/** Returns the handler of the session's messages. It throws when `claude` discards a prompt. */
export function createReporter(write: Write): (message: SDKMessage) => void {
  const waiting = new Set<string>();
  // The prompts of the running turn. Its result would name at most 64 of them.
  let uuids: string[] = [];
  let sessionId = '';

  return (message) => {
    const { data: step } = stepSchema.safeParse(message);
    if (step?.state === 'queued') waiting.add(step.command_uuid);
    else if (step && waiting.delete(step.command_uuid)) {
      if (step.state !== 'started') throw new Error(`A prompt was ${step.state} unanswered`);
      uuids.push(step.command_uuid);
    }

    // Not at `init`: the transcript, without which nothing can be resumed, is not on disk yet.
    if (message.type === 'assistant' && message.session_id !== sessionId) {
      sessionId = message.session_id;
      write({ kind: 'session', sessionId });
    }
    // Each turn begins with `init`. Only the first is a sign of life; the host knows of the others.
    const isKnown = sessionId !== '' && message.type === 'system' && message.subtype === 'init';
    const progress = isKnown ? undefined : progressOf(message);
    if (progress) write({ kind: 'progress', text: clip(progress, progressMax) });

    if (message.type !== 'result') return;
    const answer = answerOf(message);
    if (uuids.length > 0) write({ kind: 'turn_done', uuids, ...answer, ...usageOf(message) });
    else if (answer.text) write({ kind: 'reply', text: answer.text });
    uuids = [];
  };
}

function progressOf(message: SDKMessage): string | undefined {
  if (message.type === 'assistant')
    for (const block of message.message.content)
      if (block.type === 'tool_use') return describeToolUse(block.name, block.input);
  if (message.type !== 'system') return undefined;
  if (message.subtype === 'init') return 'thinking';
  if (message.subtype !== 'api_retry') return undefined;
  return `The model is busy or away; retry ${message.attempt} of ${message.max_retries}`;
}

function describeToolUse(tool: string, input: unknown): string {
  const subject = Object.values(input ?? {}).find((value) => typeof value === 'string');
  return `${tool.replace('mcp__nanoclaw__', '')}: ${subject ?? ''}`.replace(/\s+/g, ' ');
}

/** The SDK reports API errors as `success` with `is_error`; other failures have their own subtype. */
function answerOf(result: SDKResultMessage) {
  const isSuccess = result.subtype === 'success';
  if (isSuccess && !result.is_error)
    return { text: clip(result.result, textMax, ' [cut]'), error: null };
  const status = (isSuccess && result.api_error_status) || null;
  const message = isSuccess ? result.result : [result.subtype, ...result.errors].join(': ');
  return { text: '', error: { status, message: clip(message, errorMax) } };
}

function usageOf({ session_id: sessionId, total_cost_usd: totalCostUsd, usage }: SDKResultMessage) {
  const cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
  const inputTokens = usage.input_tokens + cached;
  return { sessionId, totalCostUsd, inputTokens, outputTokens: usage.output_tokens };
}
