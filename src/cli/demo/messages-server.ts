/**
 * A small Messages API on loopback, for the demo model and the tests' scripted model: streamed and
 * plain answers, token counts. `reply` decides what to answer. Checks no credential and keeps no
 * conversation.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { z } from 'zod';

/** Largest request body; the real API refuses above 32 MB. */
const bodyBytesMax = 64 * 1024 * 1024;

const contentSchema = z.union([
  z.string(),
  z.array(
    z.looseObject({
      type: z.string(),
      text: z.string().optional(),
      content: z.unknown().optional(),
    }),
  ),
]);
type Content = z.infer<typeof contentSchema>;

const bodySchema = z.looseObject({
  model: z.string(),
  stream: z.boolean().default(false),
  messages: z.array(z.looseObject({ role: z.string(), content: contentSchema })),
});

/** A `POST /v1/messages`, with what a script needs to know about it. */
export interface ModelCall {
  headers: IncomingHttpHeaders;
  body: z.infer<typeof bodySchema>;
  /** The text of the last user message that has any: the prompt, including reminders. */
  lastUserText: string;
  /** Texts of the system role after the last assistant message: messages sent during a turn. */
  followUps: string[];
  /** Texts of the tool results after the last assistant message. */
  toolResults: string[];
  /** Closes early if the client leaves. */
  response: ServerResponse;
}

/** A content block in the API's format. */
export type ModelBlock =
  | { type: 'text'; text: string }
  | { type: 'tool_use'; id: string; name: string; input: object };

/** A string is a message of one text block. */
export type ModelReply = string | ModelBlock[];

export interface MessagesServer {
  url: string;
  /** Also ends open connections. */
  close(): Promise<void>;
}

/** Starts the server on 127.0.0.1. Without `port`, the system chooses one. */
export async function startMessagesServer({
  reply,
  port = 0,
}: {
  reply: (call: ModelCall) => ModelReply | Promise<ModelReply>;
  port?: number;
}): Promise<MessagesServer> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendError(response, 400, String(error));
    });
  });
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const text = await readBody(request);
    const path = `${request.method} ${request.url?.split('?')[0]}`;
    if (path === 'POST /v1/messages/count_tokens')
      return sendJson(response, 200, { input_tokens: Math.ceil(text.length / 4) });
    if (path !== 'POST /v1/messages') return sendError(response, 404, `No ${path} here.`);
    const body = bodySchema.parse(JSON.parse(text));
    const call = { headers: request.headers, body, response, ...describe(body.messages) };
    send(call, await reply(call));
  };
  // The server alone keeps no process alive.
  server.listen(port, '127.0.0.1').unref();
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : address}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve()).closeAllConnections();
      }),
  };
}

/** A `tool_use` block with an id of its own. */
export function toolUse(name: string, input: object): ModelBlock {
  return { type: 'tool_use', id: `toolu_${randomUUID()}`, name, input };
}

/** The text blocks of a message, one per line. */
export function contentText(content: Content): string {
  if (typeof content === 'string') return content;
  return content.flatMap((block) => block.text ?? []).join('\n');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new Error('The request is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function describe(messages: ModelCall['body']['messages']) {
  const prompt = messages.findLast(({ role, content }) => role === 'user' && contentText(content));
  const fresh = messages.slice(messages.findLastIndex(({ role }) => role === 'assistant') + 1);
  return {
    lastUserText: prompt ? contentText(prompt.content) : '',
    followUps: fresh
      .filter(({ role }) => role === 'system')
      .map(({ content }) => contentText(content)),
    toolResults: fresh
      .flatMap(({ content }) => (typeof content === 'string' ? [] : content))
      .filter(({ type }) => type === 'tool_result')
      .map(({ content = '' }) => contentText(contentSchema.parse(content))),
  };
}

/** About what the real API counts. Images, which are in `data`, count for little there. */
function tokensOf(body: ModelCall['body']): number {
  const text = JSON.stringify(body, (key, value) => (key === 'data' ? '' : value));
  return Math.ceil(text.length / 4);
}

function send({ body, response }: ModelCall, reply: ModelReply): void {
  const content: ModelBlock[] = typeof reply === 'string' ? [{ type: 'text', text: reply }] : reply;
  const message = {
    id: `msg_${randomUUID()}`,
    type: 'message',
    role: 'assistant',
    model: body.model,
    content,
    stop_reason: content.some(({ type }) => type === 'tool_use') ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: tokensOf(body), output_tokens: 50 },
  };
  if (!body.stream) {
    sendJson(response, 200, message);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of streamEvents(message))
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  response.end();
}

type StreamEvent = { type: string; [field: string]: unknown };

function* streamEvents(message: {
  content: ModelBlock[];
  stop_reason: string;
  usage: object;
}): Generator<StreamEvent> {
  const { content, stop_reason, usage } = message;
  yield { type: 'message_start', message: { ...message, content: [], stop_reason: null } };
  for (const [index, block] of content.entries()) {
    const [empty, delta] =
      block.type === 'text'
        ? [
            { ...block, text: '' },
            { type: 'text_delta', text: block.text },
          ]
        : [
            { ...block, input: {} },
            { type: 'input_json_delta', partial_json: JSON.stringify(block.input) },
          ];
    yield { type: 'content_block_start', index, content_block: empty };
    yield { type: 'content_block_delta', index, delta };
    yield { type: 'content_block_stop', index };
  }
  yield { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage };
  yield { type: 'message_stop' };
}

function sendError(response: ServerResponse, status: number, message: string): void {
  sendJson(response, status, { type: 'error', error: { type: 'api_error', message } });
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}
