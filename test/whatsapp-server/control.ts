/**
 * The control port: HTTP on loopback. A POST with JSON to the action's name is answered with
 * `{"result"}`, or with `{"error"}` and a reason. The actions themselves are in `actions.ts`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { type Action, type ActionName, actions } from './actions.ts';
import { Refusal } from './refusal.ts';
import type { WhatsAppWorld } from './world.ts';

const bodyBytesMax = 256 * 1024 * 1024;

interface Reply {
  status: number;
  body: { result: unknown } | { error: string };
}

export function createControl(world: WhatsAppWorld) {
  return createServer((request, response) => void serve(world, request, response));
}

async function serve(
  world: WhatsAppWorld,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { status, body } = await answer(world, request).catch(replyToError);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function answer(world: WhatsAppWorld, request: IncomingMessage): Promise<Reply> {
  const name = request.url?.slice(1) ?? '';
  if (request.method !== 'POST') return refusal(405, 'only POST is understood');
  if (!isAction(name)) return refusal(404, `there is no action "${name}"`);
  const bytes = await readBody(request);
  if (!bytes) return refusal(413, `more than ${bodyBytesMax} bytes`);
  const action: Action<z.ZodType, unknown> = actions[name];
  const parsed = action.schema.safeParse(JSON.parse(bytes.toString() || '{}'));
  if (!parsed.success) return refusal(400, z.prettifyError(parsed.error));
  return { status: 200, body: { result: (await action.run(world, parsed.data)) ?? null } };
}

function isAction(name: string): name is ActionName {
  return Object.hasOwn(actions, name);
}

/** Undefined when the body is too large. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > bodyBytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function replyToError(error: Error): Reply {
  if (error instanceof Refusal) return refusal(409, error.message);
  if (error instanceof SyntaxError) return refusal(400, error.message);
  if (error.name === 'AbortError') return refusal(408, 'it did not happen in time');
  return refusal(500, error.stack ?? String(error));
}

function refusal(status: number, error: string): Reply {
  return { status, body: { error } };
}
