/**
 * What the session says, as files for the host. Keeps count of the prompts that have no
 * answer yet: each ends in exactly one `turn_done`, unless the runner itself fails.
 */
import type { SDKMessage, SDKResultMessage } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';
import { type ModelError, textMax } from '../../src/protocol.ts';
import { cut, type Outbox } from './outbox.ts';
import { describeToolUse, Progress } from './progress.ts';

/** Sent by `claude`, though the SDK's types do not name it. */
const lifecycleSchema = z.object({
  type: z.literal('command_lifecycle'),
  command_uuid: z.string(),
  state: z.string(),
});

type Assistant = Extract<SDKMessage, { type: 'assistant' }>;
type System = Extract<SDKMessage, { type: 'system' }>;

export class Answers {
  readonly #outbox: Outbox;
  readonly #progress: Progress;
  readonly #open = new Set<string>();
  /** Open prompts that `claude` calls completed. */
  readonly #over = new Set<string>();
  #sessionId = '';
  #last = { totalCostUsd: 0, inputTokens: 0, outputTokens: 0 };

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
    this.#progress = new Progress(outbox);
  }

  /** A prompt went into the session. */
  expect(uuid: string): void {
    this.#open.add(uuid);
  }

  take(message: SDKMessage): void {
    const lifecycle = lifecycleSchema.safeParse(message);
    if (lifecycle.success) this.#follow(lifecycle.data);
    else if (message.type === 'system') this.#takeSystem(message);
    else if (message.type === 'assistant') this.#showTools(message);
    else if (message.type === 'result') this.#takeResult(message);
  }

  #follow({ command_uuid: uuid, state }: z.infer<typeof lifecycleSchema>): void {
    if (!this.#open.has(uuid) || state === 'queued' || state === 'started') return;
    if (state === 'completed') this.#over.add(uuid);
    else this.#done([uuid], '', { status: null, message: `The prompt was ${state}.` });
  }

  #takeSystem(message: System): void {
    if (message.subtype === 'init') this.#noteSession(message.session_id);
    else if (message.subtype === 'api_retry')
      this.#progress.show(
        `The model is busy or away; retry ${message.attempt} of ${message.max_retries}`,
      );
    // Only now: a follow-up that joined a turn completes before the turn's result comes.
    else if (message.subtype === 'session_state_changed') {
      this.#noteSession(message.session_id);
      if (message.state === 'idle') this.#closeWithoutResult();
    }
  }

  #noteSession(sessionId: string): void {
    if (sessionId === this.#sessionId) return;
    this.#sessionId = sessionId;
    this.#outbox.write({ kind: 'session', sessionId });
  }

  #showTools({ message }: Assistant): void {
    for (const block of message.content)
      if (block.type === 'tool_use') this.#progress.show(describeToolUse(block.name, block.input));
  }

  #takeResult(result: SDKResultMessage): void {
    this.#progress.clear();
    const text = result.subtype === 'success' && !result.is_error ? result.result : '';
    const uuids = (result.user_message_uuids ?? []).filter((uuid) => this.#open.has(uuid));
    this.#last = usageOf(result);
    if (uuids.length > 0) this.#done(uuids, text, errorOf(result));
    else if (text) this.#outbox.write({ kind: 'reply', text: cut(text, textMax) });
  }

  #closeWithoutResult(): void {
    if (this.#over.size > 0) this.#done([...this.#over], '', null);
  }

  #done(uuids: string[], text: string, error: ModelError | null): void {
    for (const uuid of uuids) {
      this.#open.delete(uuid);
      this.#over.delete(uuid);
    }
    this.#outbox.write({
      kind: 'turn_done',
      uuids,
      text: cut(text, textMax),
      error,
      sessionId: this.#sessionId,
      ...this.#last,
    });
  }
}

function usageOf({ usage, total_cost_usd: totalCostUsd }: SDKResultMessage) {
  const cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
  const { input_tokens: fresh, output_tokens: outputTokens } = usage;
  return { totalCostUsd, inputTokens: fresh + cached, outputTokens };
}

/** API errors come as `success` with `is_error`; other failures name themselves. */
function errorOf(result: SDKResultMessage): ModelError | null {
  if (result.subtype !== 'success')
    return { status: null, message: cut([result.subtype, ...result.errors].join(': '), 2000) };
  if (!result.is_error) return null;
  return { status: result.api_error_status ?? null, message: cut(result.result, 2000) };
}
