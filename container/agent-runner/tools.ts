/**
 * The agent's tools that the host carries out: each call becomes a `request`, and the host's
 * `response` is the result, so that the agent never claims what the host refused.
 * A further tool is one entry here and one in the protocol; nothing is decided here.
 */
import { createSdkMcpServer, tool } from '@anthropic-ai/claude-agent-sdk/core';
import { type AgentRequest, type InFile, requestSchema } from '../../src/protocol.ts';
import type { Outbox } from './outbox.ts';

const answerTimeoutMs = 60_000;

const descriptions: Record<AgentRequest['tool'], string> = {
  send_message:
    'Sends a message to the chat at once, while you go on working. Your final text is sent by itself: do not send it twice.',
  send_file:
    'Sends a file of your group folder to the chat, with an optional caption. Pictures show as pictures.',
};

type Response = Extract<InFile, { kind: 'response' }>;
type Answer = Pick<Response, 'ok' | 'text'>;

export class HostTools {
  readonly #outbox: Outbox;
  readonly #pending = new Map<string, (answer: Answer) => void>();
  #asked = 0;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  /** The MCP server `nanoclaw`, for one session. */
  server() {
    const tools = requestSchema.options.map(({ shape }) => {
      const name = shape.tool.value;
      return tool(name, descriptions[name], shape.args.shape, async (args) => {
        const { ok, text } = await this.#ask(requestSchema.parse({ tool: name, args }));
        return { content: [{ type: 'text', text }], isError: !ok };
      });
    });
    // Otherwise the tools would hide behind a search tool.
    return createSdkMcpServer({ name: 'nanoclaw', alwaysLoad: true, tools });
  }

  /** Hands the host's answer to the call that waits for it; a late one is dropped. */
  answer({ requestId, ok, text }: Response): void {
    this.#pending.get(requestId)?.({ ok, text });
  }

  #ask(request: AgentRequest): Promise<Answer> {
    this.#asked += 1;
    const requestId = String(this.#asked);
    return new Promise((resolve) => {
      const settle = (answer: Answer) => {
        clearTimeout(timeout);
        this.#pending.delete(requestId);
        resolve(answer);
      };
      const text = 'The host has not answered: it is not known whether this was done.';
      const timeout = setTimeout(() => settle({ ok: false, text }), answerTimeoutMs);
      this.#pending.set(requestId, settle);
      this.#outbox.write({ kind: 'request', requestId, request });
    });
  }
}
