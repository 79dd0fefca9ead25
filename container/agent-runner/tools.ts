/**
 * The agent's tools, as the host has told them. The host carries them out, and its answer is the
 * call's result, so that the agent never claims what the host refused. Nothing is decided here.
 */
import { EventEmitter, once } from 'node:events';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import type { ToolDescription } from '../../src/protocol.ts';
import type { Write } from './files.ts';

const answerTimeoutMs = 60_000;
/** Shows them to the model at once, instead of behind a search. */
const shown = { 'anthropic/alwaysLoad': true };

const unanswered = {
  ok: false,
  text: 'The host has not answered: it is not known whether this was done.',
};
type Answer = typeof unanswered;

/** Hands the host's answers to the calls that wait for them; late ones are dropped. */
export class HostTools {
  readonly #write: Write;
  readonly #answers = new EventEmitter();
  #asked = 0;

  constructor(write: Write) {
    this.#write = write;
  }

  answer(requestId: string, answer: Answer): void {
    this.#answers.emit(requestId, answer);
  }

  /** The MCP server of one session. */
  serve(tools: ToolDescription[]) {
    const instance = new McpServer(
      { name: 'nanoclaw', version: '1' },
      { capabilities: { tools: {} } },
    );
    instance.server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: tools.map((tool) => ({ ...tool, _meta: shown })),
    }));
    instance.server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
      const { ok, text } = await this.#ask(params.name, params.arguments ?? {});
      return { content: [{ type: 'text', text }], isError: !ok };
    });
    return { type: 'sdk' as const, name: 'nanoclaw', instance };
  }

  async #ask(tool: string, args: Record<string, unknown>): Promise<Answer> {
    this.#asked += 1;
    const requestId = String(this.#asked);
    this.#write({ kind: 'request', requestId, tool, args });
    const signal = AbortSignal.timeout(answerTimeoutMs);
    const [answer] = await once(this.#answers, requestId, { signal }).catch(() => [unanswered]);
    return answer;
  }
}
