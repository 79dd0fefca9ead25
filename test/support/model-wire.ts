/**
 * A scripted model API for each test of a file, and processes that call it over a wire, as agents
 * do, with a credential that only the host's side holds.
 */
import { once } from 'node:events';
import {
  type Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
} from 'node:http';
import { beforeEach, onTestFinished } from 'vitest';
import type { Credential } from '../../src/config.ts';
import { openModelApi } from '../../src/egress/model-api.ts';
import { type ScriptedModel, startScriptedModel } from '../scripted-model/scripted-model.ts';
import { openWayOut } from './way-out.ts';
import { openTestLog, openWireContainer, type WireContainer } from './wire-container.ts';

export const secret = 'sk-the-real-credential-0123456789';
export const apiKey: Credential = { kind: 'api-key', secret };

/** Call it once, at the top of a test file. */
export function modelWire() {
  let model: ScriptedModel | undefined;
  let logged = '';
  const currentModel = () => {
    if (!model) throw new Error('the model exists only while a test runs');
    return model;
  };
  const openLog = () =>
    openTestLog((text) => {
      logged += text;
    });
  beforeEach(async (test) => {
    const started = await startScriptedModel();
    test.onTestFinished(() => started.close());
    model = started;
    logged = '';
  });
  return {
    get model(): ScriptedModel {
      return currentModel();
    },
    /** What the host's side has logged in this test. */
    get logged(): string {
      return logged;
    },
    openLog,
    /** A real process at the other end of the wire. */
    openContainer(
      credential = apiKey,
      baseUrl = currentModel().url,
      api = openModelApi({ baseUrl, credential }),
    ): Promise<WireContainer> {
      return openWireContainer({ ...openWayOut(), model: api, log: openLog() });
    },
  };
}

/** An API that does what the test says; resolves to its URL. */
export async function startUpstream(handle: RequestListener): Promise<string> {
  const server = createServer(handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close().closeAllConnections());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address?.port}`;
}

/** One request to the container's loopback; `path` goes out exactly as it is. */
export async function send(
  container: WireContainer,
  options: {
    method?: string;
    path?: string;
    headers?: Record<string, string>;
    body?: string | Buffer;
    agent?: Agent;
  },
): Promise<IncomingMessage> {
  const { method = 'POST', path = '/v1/messages', body = question('hello') } = options;
  const { agent, headers = { 'content-length': String(Buffer.byteLength(body)) } } = options;
  const to = { host: '127.0.0.1', port: container.port, ...(agent && { agent }) };
  const call = request({ ...to, method, path, headers });
  call.end(body);
  const [response] = await once(call, 'response');
  call.on('error', () => {}); // A refused upload may end in a reset.
  return response;
}

/** The body of a call of the model API. */
export function question(words: string): string {
  return JSON.stringify({ model: 'm', messages: [{ role: 'user', content: words }] });
}
