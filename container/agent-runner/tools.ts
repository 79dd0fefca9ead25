/**
 * The agent's tools. The host carries them out, and its answer is the call's result, so that
 * the agent never claims what the host refused. Nothing is decided here.
 */
import { EventEmitter, once } from 'node:events';
import { createSdkMcpServer, tool } from '@anthropic-ai/claude-agent-sdk/core';
import { type AgentRequest, requestSchema } from '../../src/protocol.ts';
import type { Write } from './files.ts';

const answerTimeoutMs = 60_000;

const descriptions: Record<AgentRequest['tool'], string> = {
  send_message:
    'Sends a message to the chat at once, while you go on working. Your final text is sent by itself: do not send it twice.',
  send_file:
    'Sends a file of your group folder to the chat, with an optional caption. Pictures show as pictures.',
  react: 'Puts an emoji on a message of this chat; message_id is the id attribute of the message.',
  list_groups:
    'Lists the chats that the host knows, the latest first, with the folder of those that are registered. Main chat only.',
  register_group:
    'Gives a listed chat an agent of its own, or changes a registered one. requires_trigger (default true): only messages that call the assistant are answered. triggered_by: account ids as in the account attribute, or null for everybody. folder defaults to a form of the name. Main chat only.',
};

const unanswered = {
  ok: false,
  text: 'The host has not answered: it is not known whether this was done.',
};
type Answer = typeof unanswered;

/** The MCP server of one session, and what hands it the host's answers; late ones are dropped. */
export function createHostTools(write: Write) {
  const answers = new EventEmitter();
  let asked = 0;

  const ask = async (request: AgentRequest): Promise<Answer> => {
    asked += 1;
    const requestId = String(asked);
    write({ kind: 'request', requestId, request });
    const signal = AbortSignal.timeout(answerTimeoutMs);
    const [answer] = await once(answers, requestId, { signal }).catch(() => [unanswered]);
    return answer;
  };

  const tools = requestSchema.options.map(({ shape }) => {
    const name = shape.tool.value;
    return tool(name, descriptions[name], shape.args.shape, async (args) => {
      const { ok, text } = await ask(requestSchema.parse({ tool: name, args }));
      return { content: [{ type: 'text', text }], isError: !ok };
    });
  });
  return {
    server: createSdkMcpServer({ name: 'nanoclaw', tools }),
    answer: (requestId: string, answer: Answer) => answers.emit(requestId, answer),
  };
}
