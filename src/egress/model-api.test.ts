/**
 * Calls of the model API over the wire: what passes, with which credential, and what is refused.
 */
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  apiKey,
  modelWire,
  question,
  secret,
  send,
  startUpstream,
} from '../../test/support/model-wire.ts';
import { openModelApi } from './model-api.ts';

const host = modelWire();

/** More than all buffers between client and API hold together. */
const pumpBytesMax = 36 * 1024 * 1024;

/** Writes until nothing is taken for a second. Returns the number of bytes that were taken. */
async function pumpUntilStalled(target: Writable): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024, '.');
  let takenBytes = 0;
  while (takenBytes < pumpBytesMax) {
    const taken = new Promise<boolean>((resolve) => target.write(chunk, () => resolve(true)));
    if (!(await Promise.race([taken, sleep(1000, false)]))) break;
    takenBytes += chunk.length;
  }
  return takenBytes;
}

describe('a call of the model API', () => {
  test('arrives with its body, and the answer comes back', async () => {
    host.model.on('hello').reply('hi 🙂');
    const response = await send(await host.openContainer(), { path: '/v1/messages?beta=true' });
    expect(response.statusCode).toBe(200);
    expect(JSON.parse(await text(response)).content).toEqual([{ type: 'text', text: 'hi 🙂' }]);
  });

  test('may count tokens', async () => {
    const response = await send(await host.openContainer(), { path: '/v1/messages/count_tokens' });
    expect(JSON.parse(await text(response))).toHaveProperty('input_tokens');
  });

  test('keeps the headers of the API and loses all others, credentials first', async () => {
    const container = await host.openContainer();
    const headers = {
      'anthropic-version': '2023-06-01',
      'x-stainless-lang': 'js',
      'x-app': 'cli',
      'x-api-key': 'placeholder',
      authorization: 'Bearer placeholder',
      cookie: 'a=placeholder',
      'x-forwarded-for': '10.0.0.1',
    };
    await text(await send(container, { headers }));
    const received = (await host.model.call()).headers;
    expect(received).toMatchObject({
      'anthropic-version': '2023-06-01',
      'x-stainless-lang': 'js',
      'x-app': 'cli',
      'x-api-key': secret,
    });
    expect(Object.keys(received)).not.toContain('authorization');
    expect(JSON.stringify(received)).not.toMatch(/placeholder|10\.0\.0\.1/);
  });

  test('is sent below the path of a gateway', async () => {
    const urls: (string | undefined)[] = [];
    const gateway = await startUpstream((incoming, response) => {
      urls.push(incoming.url);
      response.end();
    });
    await text(await send(await host.openContainer(apiKey, `${gateway}/team/a/`), {}));
    await text(
      await send(await host.openContainer(apiKey, `${gateway}/team/a`), {
        path: '/v1/messages?b=1',
      }),
    );
    expect(urls).toEqual(['/team/a/v1/messages', '/team/a/v1/messages?b=1']);
  });

  test('brings back status, retry-after and request-id of an error', async () => {
    const headers = { 'retry-after': '7', 'request-id': 'req_1', 'set-cookie': 'a=b' };
    host.model.on('hello').fail(529, { headers });
    const response = await send(await host.openContainer(), {});
    expect(response.statusCode).toBe(529);
    expect(response.headers).toMatchObject({ 'retry-after': '7', 'request-id': 'req_1' });
    expect(response.headers['set-cookie']).toBeUndefined();
    expect(await text(response)).toContain('scripted failure');
  });

  test('does not follow a redirect', async () => {
    let requests = 0;
    const api = await startUpstream((_, response) => {
      requests += 1;
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    const response = await send(await host.openContainer(apiKey, api), {});
    expect(response.statusCode).toBe(307);
    expect(response.headers.location).toBeUndefined();
    expect(requests).toBe(1);
  });

  test('is answered with a plain 502 when the API cannot be reached', async () => {
    await host.model.close();
    const response = await send(await host.openContainer(), {});
    expect(response.statusCode).toBe(502);
    expect(JSON.parse(await text(response))).toEqual({
      type: 'error',
      error: { type: 'api_error', message: 'The model API cannot be reached (ECONNREFUSED).' },
    });
  });

  test.each(['hang', 'stall'] as const)('ends when the client leaves at a %s', async (fault) => {
    host.model.on('hello')[fault]();
    const { port } = await host.openContainer();
    const call = request({ host: '127.0.0.1', port, method: 'POST', path: '/v1/messages' });
    call.on('error', () => {}); // It ends by `destroy` below.
    call.end(question('hello'));
    const { cancelled } = await host.model.call('hello');
    call.destroy();
    await cancelled;
  });

  test('is cut, not ended, when the API cuts it', async () => {
    host.model.on('hello').cut();
    const container = await host.openContainer();
    // The reset may arrive before the head.
    await expect(send(container, {}).then(text)).rejects.toThrow(/aborted|hang up/);
  });

  test('streams: each piece comes before the next one is sent', async () => {
    const steps = ['one', 'two', 'three'];
    let proceed = () => {};
    const api = await startUpstream((_, response) => {
      proceed = () => {
        const step = steps.shift();
        if (step) response.write(step);
        else response.end();
      };
      response.flushHeaders();
    });
    const response = await send(await host.openContainer(apiKey, api), {});
    const seen: string[] = [];
    proceed();
    for await (const chunk of response) {
      seen.push(String(chunk));
      proceed();
    }
    expect(seen).toEqual(['one', 'two', 'three']);
  });

  test('holds the API back while the client does not read', async () => {
    const taken = new Promise<number>((resolve) => {
      void startUpstream((incoming, response) => {
        incoming.resume();
        resolve(pumpUntilStalled(response));
      }).then(async (api) => (await send(await host.openContainer(apiKey, api), {})).pause());
    });
    expect(await taken).toBeLessThan(pumpBytesMax);
  });

  test('holds the client back while the API does not read', async () => {
    const api = await startUpstream((incoming) => incoming.pause());
    const { port } = await host.openContainer(apiKey, api);
    const headers = { 'content-length': pumpBytesMax };
    const call = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/v1/messages',
      headers,
    });
    call.on('error', () => {}); // It is cut when the test ends.
    expect(await pumpUntilStalled(call)).toBeLessThan(pumpBytesMax);
  });

  test('may carry a body of 30 MB, and is refused above the limit', {
    timeout: 30_000,
  }, async () => {
    let received = 0;
    const api = await startUpstream((incoming, response) => {
      incoming.on('data', (chunk) => {
        received += chunk.length;
      });
      incoming.on('end', () => response.end('fine'));
    });
    const container = await host.openContainer(apiKey, api);
    expect(await text(await send(container, { body: Buffer.alloc(30 << 20) }))).toBe('fine');
    expect(received).toBe(30 << 20);
    const declared = await send(container, { body: Buffer.alloc(41 << 20) });
    expect(declared.statusCode).toBe(413);
    const headers = { 'transfer-encoding': 'chunked' };
    const undeclared = await send(container, { headers, body: Buffer.alloc(41 << 20) });
    expect(undeclared.statusCode).toBe(413);
    expect(await text(undeclared)).toContain('request_too_large');
  });

  test('leaves its connection usable when the answer came before the whole request', async () => {
    const api = await startUpstream((incoming, response) => {
      if (incoming.headers['x-app'] === 'hasty') response.end('enough');
      else incoming.resume().on('end', () => response.end('all read'));
    });
    const container = await host.openContainer(apiKey, api);
    const { port } = container;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => void agent.destroy());
    const headers = { 'x-app': 'hasty' };
    const call = request({
      agent,
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/v1/messages',
      headers,
    });
    call.write('the beginning');
    const [answer] = await once(call, 'response');
    expect(await text(answer)).toBe('enough');
    call.end(Buffer.alloc(20 << 20));
    const next = await send(container, { agent });
    expect(await text(next)).toBe('all read');
    expect(next.socket).toBe(answer.socket);
  });

  test('reuses a connection to the API that another container has used', async () => {
    let connections = 0;
    const api = await startUpstream((incoming, response) => {
      connections += Number(incoming.socket.bytesWritten === 0);
      response.end();
    });
    const shared = openModelApi({ baseUrl: api, credential: apiKey });
    for (let count = 0; count < 3; count += 1) {
      const container = await host.openContainer(apiKey, api, shared);
      await text(await send(container, {}));
      container.wire.close();
    }
    expect(connections).toBe(1);
  });
});

describe('every other path or method is refused with a reason', () => {
  test.each([
    ['GET', '/v1/messages'],
    ['DELETE', '/v1/messages'],
    ['POST', '/'],
    ['POST', '/v1/models'],
    ['POST', '/v1/files'],
    ['POST', '/v1/messages/batches'],
    ['POST', '/v1/messages/'],
    ['POST', '/v1/messages/../files'],
    ['POST', '/v1/messages/..%2ffiles'],
    ['POST', '/v1/messages%2f..%2ffiles'],
    ['POST', '/v1/messages%3f'],
    ['POST', '/v1//messages'],
    ['POST', '//v1/messages'],
    ['POST', '/V1/messages'],
    ['POST', '/v1/messages;x'],
    ['POST', '/v1/messages#x'],
    ['POST', '/v1/messages?x#y'],
    ['POST', '/v1/messages@example.com'],
  ])('%s %s', async (method, path) => {
    const response = await send(await host.openContainer(), { method, path });
    expect(response.statusCode).toBe(403);
    expect(JSON.parse(await text(response))).toMatchObject({
      type: 'error',
      error: { type: 'permission_error', message: expect.stringMatching(/model API/) },
    });
    expect(host.model.calls).toEqual([]);
    expect(host.logged).toContain('refused on the wire');
  });
});
