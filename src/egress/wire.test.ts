import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
} from 'node:http';
import { type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair, type Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { query } from '@anthropic-ai/claude-agent-sdk';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openWire } from '../../container/agent-runner/wire.ts';
import {
  type ScriptedModel,
  startScriptedModel,
} from '../../test/scripted-model/scripted-model.ts';
import { openWayOut } from '../../test/support/way-out.ts';
import {
  openTestLog,
  openWireContainer,
  type WireContainer,
} from '../../test/support/wire-container.ts';
import type { Credential } from '../config.ts';
import { openModelApi } from './model-api.ts';
import { serveWire } from './wire.ts';

const secret = 'sk-the-real-credential-0123456789';
const apiKey: Credential = { kind: 'api-key', secret };

let dir: string;
let model: ScriptedModel;
let logged: string;
const endings: (() => unknown)[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'egress-'));
});

beforeEach(async ({ onTestFinished }) => {
  model = await startScriptedModel();
  onTestFinished(() => model.close());
  logged = '';
});

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

afterAll(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));

const openLog = () =>
  openTestLog((text) => {
    logged += text;
  });

/** A real process at the other end of the wire. */
function openContainer(
  credential: Credential = apiKey,
  baseUrl = model.url,
  api = openModelApi({ baseUrl, credential }),
): Promise<WireContainer> {
  return openWireContainer({ ...openWayOut(), model: api, log: openLog() });
}

/** An API that does what the test says. */
async function startUpstream(handle: RequestListener): Promise<string> {
  const server = createServer(handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  endings.push(() => server.close().closeAllConnections());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address?.port}`;
}

/** A request to the container's loopback port; `path` is sent unchanged. */
async function send(
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

/** More than all buffers on the way hold together. */
const pumpBytesMax = 36 * 1024 * 1024;

/** Writes until nothing was accepted for a second. Returns the bytes written. */
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

function question(words: string): string {
  return JSON.stringify({ model: 'm', messages: [{ role: 'user', content: words }] });
}

describe('a call of the model API', () => {
  test('arrives with its body, and the answer comes back', async () => {
    model.on('hello').reply('hi 🙂');
    const response = await send(await openContainer(), { path: '/v1/messages?beta=true' });
    expect(response.statusCode).toBe(200);
    expect(JSON.parse(await text(response)).content).toEqual([{ type: 'text', text: 'hi 🙂' }]);
  });

  test('may count tokens', async () => {
    const response = await send(await openContainer(), { path: '/v1/messages/count_tokens' });
    expect(JSON.parse(await text(response))).toHaveProperty('input_tokens');
  });

  test('keeps the headers of the API and loses all others, credentials first', async () => {
    const container = await openContainer();
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
    const received = (await model.call()).headers;
    expect(received).toMatchObject({
      'anthropic-version': '2023-06-01',
      'x-stainless-lang': 'js',
      'x-app': 'cli',
      'x-api-key': secret,
    });
    expect(Object.keys(received)).not.toContain('authorization');
    expect(JSON.stringify(received)).not.toMatch(/placeholder|10\.0\.0\.1/);
  });

  test('goes below the path of a gateway', async () => {
    const urls: (string | undefined)[] = [];
    const gateway = await startUpstream((incoming, response) => {
      urls.push(incoming.url);
      response.end();
    });
    await text(await send(await openContainer(apiKey, `${gateway}/team/a/`), {}));
    await text(
      await send(await openContainer(apiKey, `${gateway}/team/a`), { path: '/v1/messages?b=1' }),
    );
    expect(urls).toEqual(['/team/a/v1/messages', '/team/a/v1/messages?b=1']);
  });

  test('brings back status, retry-after and request-id of an error', async () => {
    const headers = { 'retry-after': '7', 'request-id': 'req_1', 'set-cookie': 'a=b' };
    model.on('hello').fail(529, { headers });
    const response = await send(await openContainer(), {});
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
    const response = await send(await openContainer(apiKey, api), {});
    expect(response.statusCode).toBe(307);
    expect(response.headers.location).toBeUndefined();
    expect(requests).toBe(1);
  });

  test('is answered with a plain 502 when the API cannot be reached', async () => {
    await model.close();
    const response = await send(await openContainer(), {});
    expect(response.statusCode).toBe(502);
    expect(JSON.parse(await text(response))).toEqual({
      type: 'error',
      error: { type: 'api_error', message: 'The model API cannot be reached (ECONNREFUSED).' },
    });
  });

  test.each(['hang', 'stall'] as const)('ends when the client leaves at a %s', async (fault) => {
    model.on('hello')[fault]();
    const { port } = await openContainer();
    const call = request({ host: '127.0.0.1', port, method: 'POST', path: '/v1/messages' });
    call.on('error', () => {}); // The test destroys it.
    call.end(question('hello'));
    const { cancelled } = await model.call('hello');
    call.destroy();
    await cancelled;
  });

  test('is cut, not ended, when the API cuts it', async () => {
    model.on('hello').cut();
    const container = await openContainer();
    // A cut may arrive before the headers.
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
    const response = await send(await openContainer(apiKey, api), {});
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
      }).then(async (api) => (await send(await openContainer(apiKey, api), {})).pause());
    });
    expect(await taken).toBeLessThan(pumpBytesMax);
  });

  test('holds the client back while the API does not read', async () => {
    const api = await startUpstream((incoming) => incoming.pause());
    const { port } = await openContainer(apiKey, api);
    const headers = { 'content-length': pumpBytesMax };
    const call = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/v1/messages',
      headers,
    });
    call.on('error', () => {}); // Cut at the end of the test.
    expect(await pumpUntilStalled(call)).toBeLessThan(pumpBytesMax);
  });

  test('carries a body of 30 MB, and refuses one above the bound', {
    timeout: 30_000,
  }, async () => {
    let received = 0;
    const api = await startUpstream((incoming, response) => {
      incoming.on('data', (chunk) => {
        received += chunk.length;
      });
      incoming.on('end', () => response.end('fine'));
    });
    const container = await openContainer(apiKey, api);
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
    const container = await openContainer(apiKey, api);
    const { port } = container;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    endings.push(() => agent.destroy());
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

  test('travels on a connection to the API that other containers have used', async () => {
    let connections = 0;
    const api = await startUpstream((incoming, response) => {
      connections += Number(incoming.socket.bytesWritten === 0);
      response.end();
    });
    const shared = openModelApi({ baseUrl: api, credential: apiKey });
    for (let count = 0; count < 3; count += 1) {
      const container = await openContainer(apiKey, api, shared);
      await text(await send(container, {}));
      container.wire.close();
    }
    expect(connections).toBe(1);
  });
});

describe('everything else is refused with words', () => {
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
    const response = await send(await openContainer(), { method, path });
    expect(response.statusCode).toBe(403);
    expect(JSON.parse(await text(response))).toMatchObject({
      type: 'error',
      error: { type: 'permission_error', message: expect.stringMatching(/model API/) },
    });
    expect(model.calls).toEqual([]);
    expect(logged).toContain('refused on the wire');
  });
});

describe('the container’s side', () => {
  test('goes on when its clients are cut off at any point', async () => {
    model.on('hello').stall();
    const container = await openContainer();
    const words = 'POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{}';
    for (let length = 0; length < words.length; length += 1) {
      const socket = connectTcp(container.port, '127.0.0.1');
      await once(socket, 'connect');
      await new Promise((written) => socket.write(words.slice(0, length), written));
      if (length % 2) socket.resetAndDestroy();
      else socket.destroy();
    }
    const response = await send(container, { body: question('still here') });
    expect(response.statusCode).toBe(200);
  });

  test('says that a port is taken', async () => {
    const taken = Number(new URL(model.url).port);
    const [input, output] = duplexPair();
    endings.push(() => output.destroy());
    await expect(openWire({ input, output: input }).listen(taken)).rejects.toThrow('EADDRINUSE');
  });
});

describe('the real claude at the other end of the wire', { timeout: 60_000 }, () => {
  test.each([
    { kind: 'api-key', sent: { 'x-api-key': secret }, absent: 'authorization' },
    { kind: 'auth-token', sent: { authorization: `Bearer ${secret}` }, absent: 'x-api-key' },
    {
      kind: 'oauth-token',
      sent: {
        authorization: `Bearer ${secret}`,
        'anthropic-beta': expect.stringMatching(/(^|,)oauth-2025-04-20(,|$)/),
      },
      absent: 'x-api-key',
    },
  ] as const)('calls with the host’s $kind and never with its own', async (row) => {
    model
      .on('hello')
      .callTool('Bash', { command: 'echo hi' })
      .thenReply((result) => result);
    const { port } = await openContainer({ kind: row.kind, secret });
    const home = await mkdtemp(join(dir, 'home-'));
    const session = query({
      prompt: 'hello',
      options: {
        cwd: home,
        permissionMode: 'bypassPermissions',
        allowDangerouslySkipPermissions: true,
        settingSources: [],
        tools: ['Bash'],
        env: {
          PATH: process.env.PATH,
          HOME: home,
          IS_SANDBOX: '1',
          ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`,
          ANTHROPIC_API_KEY: 'placeholder',
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
          DISABLE_AUTOUPDATER: '1',
        },
      },
    });
    for await (const message of session)
      if (message.type === 'result') expect(message).toMatchObject({ result: 'hi' });
    expect(model.calls).toHaveLength(2);
    for (const { headers } of model.calls) {
      expect(headers).toMatchObject(row.sent);
      expect(headers[row.absent]).toBeUndefined();
      expect(JSON.stringify(headers)).not.toContain('placeholder');
    }
    expect(logged).not.toContain(secret);
  });
});

describe('a peer that breaks the protocol ends its own wire and nothing else', () => {
  /** A wire whose other end is the test itself. */
  function openPeer(wayOut = openWayOut()) {
    const [ours, theirs] = duplexPair();
    theirs.on('error', () => {}); // The host may cut while the peer still writes.
    const wire = serveWire(
      { input: ours, output: ours },
      {
        ...wayOut,
        model: openModelApi({ baseUrl: model.url, credential: apiKey }),
        log: openLog(),
      },
    );
    endings.push(() => wire.close());
    return { wire, peer: theirs };
  }
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  const frame = (type: number, payload: Buffer, stream = 0, flags = 0) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const settings = frame(4, Buffer.alloc(0));

  test('says things that are not HTTP/2', async () => {
    const { wire, peer } = openPeer();
    peer.resume().write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    expect((await wire.broken).message).toContain('bad client magic');
  });

  test('closes its output', async () => {
    const { wire, peer } = openPeer();
    peer.end();
    expect((await wire.broken).message).toContain('closed its end');
  });

  test('dies in mid-call', async () => {
    model.on('hello').stall();
    const { wire, child, port } = await openContainer();
    const call = request({ host: '127.0.0.1', port, method: 'POST', path: '/v1/messages' });
    call.on('error', () => {});
    call.end(question('hello'));
    const { cancelled } = await model.call('hello');
    child.kill('SIGKILL');
    expect(await wire.broken).toBeInstanceOf(Error);
    await cancelled;
  });

  test('sends garbage in mid-session, and stays', async () => {
    const { wire, peer } = openPeer();
    peer.resume().write(Buffer.concat([Buffer.from(preface), settings]));
    await nextTurn();
    peer.write(Buffer.alloc(1 << 20, 0xa5));
    expect(await wire.broken).toBeInstanceOf(Error);
  });

  test('sends pings without end and never reads', async () => {
    const { wire, peer } = openPeer();
    peer.write(preface);
    peer.write(settings);
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(6, Buffer.alloc(8))));
    let over = false;
    void wire.broken.then(() => {
      over = true;
    });
    let written = 0;
    while (!over && written < 100_000 && peer.write(pings)) {
      written += 1000;
      await nextTurn();
    }
    // Either the host ended the wire or it stopped reading: it never buffers it all.
    expect(written).toBeLessThan(100_000);
  });

  /** A peer that speaks valid HTTP/2 and opens connections in it, to send anything on them. */
  async function openHttp2Peer() {
    const { wire, peer } = openPeer();
    const session = connect('http://nanoclaw', { createConnection: () => peer });
    session.on('error', () => {}); // The host may cut it at any time.
    endings.push(() => session.destroy());
    await once(session, 'remoteSettings');
    const open = (): ClientHttp2Stream => {
      const stream = session.request({ ':method': 'POST' });
      stream.on('error', () => {}); // Resets are what these tests are about.
      return stream;
    };
    return { wire, session, open };
  }
  const call = (words: string) =>
    `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(question(words))}\r\n\r\n${question(words)}`;

  test('opens streams and resets them in the same breath', async () => {
    const { wire, peer } = openPeer();
    const open = Buffer.from([0x83, 0x84, 0x86, 0x41, 1, 0x78]); // POST / of http://x
    const reset = Buffer.from([0, 0, 0, constants.NGHTTP2_INTERNAL_ERROR]);
    const frames = Array.from({ length: 50 }, (_, count) => 2 * count + 1).map((id) =>
      Buffer.concat([frame(1, open, id, 4), frame(3, reset, id)]),
    );
    peer.resume().write(Buffer.concat([Buffer.from(preface), settings, ...frames]));
    await nextTurn();
    peer.end();
    expect((await wire.broken).message).toContain('closed its end');
  });

  test('resets a call with an error of its own', async () => {
    model.on('hello').hang();
    const { open } = await openHttp2Peer();
    const stream = open();
    stream.write(call('hello'));
    const { cancelled } = await model.call('hello');
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    await cancelled;
  });

  test('sends calls without waiting for answers: the connection is cut after the first', async () => {
    model.on('first').hang();
    const { open } = await openHttp2Peer();
    const stream = open();
    stream.write(call('first') + call('second').repeat(1000));
    await once(stream, 'close');
    const next = open();
    next.write(call('third'));
    await once(next, 'data');
    expect(model.calls.map(({ said }) => said)).not.toContain('second');
    expect(model.calls.length).toBeLessThanOrEqual(2);
  });

  test('puts every byte there is into names, values, paths and lengths', async () => {
    const { open } = await openHttp2Peer();
    const places = [
      (byte: string) => `POST /v1/messages?${byte} HTTP/1.1\r\nhost: x\r\n\r\n`,
      (byte: string) => `POST /v1/messages HTTP/1.1\r\nhost: x\r\nanthropic-a: 1${byte}2\r\n\r\n`,
      (byte: string) => `POST /v1/messages HTTP/1.1\r\nhost: x\r\nanthropic-${byte}: 1\r\n\r\n`,
      (byte: string) => `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 0${byte}\r\n\r\n`,
      (byte: string) => `POST /v1/messages HTTP/1.${byte}\r\nhost: x\r\n\r\n`,
      (byte: string) => `${byte}POST /v1/messages HTTP/1.1\r\nhost: x\r\n\r\n`,
    ];
    for (const place of places)
      await Promise.all(
        Array.from({ length: 256 }, (_, code) => {
          const stream = open();
          stream.end(place(String.fromCharCode(code)), 'latin1');
          stream.resume();
          return new Promise((closed) => stream.once('close', closed));
        }),
      );
    const stream = open();
    stream.write(call('still here'));
    expect(String(await once(stream, 'data'))).toContain('HTTP/1.1 200');
  });

  test('opens more calls at once than are allowed', async () => {
    const { wire, session } = await openHttp2Peer();
    expect(session.remoteSettings.maxConcurrentStreams).toBe(64);
    session.destroy();
    await wire.broken;
  });

  test('sends random frames, a thousand times over', { timeout: 60_000 }, async () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    let broken = 0;
    const wayOut = openWayOut();
    for (let round = 0; round < 1000; round += 1) {
      const { wire, peer } = openPeer(wayOut);
      void wire.broken.then(() => {
        broken += 1;
      });
      peer.write(preface);
      if (random(4) > 0) peer.write(settings);
      for (let count = random(8); count >= 0; count -= 1) {
        const payload = Buffer.from(Array.from({ length: random(64) }, () => random(256)));
        peer.write(frame(random(11), payload, random(6), random(256)));
      }
      await nextTurn();
      if (random(2) > 0) peer.resume();
      peer.end();
      await wire.broken;
    }
    expect(broken).toBe(1000);
  });

  test('is told to go: closing the wire ends the container’s side', async () => {
    const { wire, child } = await openContainer();
    wire.close();
    await wire.broken;
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
