import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
  request,
} from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Internet, needsInternet } from '../../test/internet/internet.ts';
import { page, silence, sink, slow, zeros } from '../../test/internet/pages.ts';
import { startScriptedModel } from '../../test/scripted-model/scripted-model.ts';
import { openWayOut } from '../../test/support/way-out.ts';
import {
  openTestLog,
  openWireContainer,
  type WireContainer,
} from '../../test/support/wire-container.ts';
import { openModelApi } from './model-api.ts';
import { Web } from './web.ts';

const runProgram = promisify(execFile);

/** A container of a group that may reach everything, and the internet it has. */
async function open(WebClass = Web) {
  const internet = await Internet.start();
  const model = await startScriptedModel();
  onTestFinished(() => model.close());
  const api = openModelApi({ baseUrl: model.url, credential: { kind: 'api-key', secret: 'x' } });
  const wayOut = openWayOut(true, WebClass);
  const lines: string[] = [];
  const log = openTestLog((line) => lines.push(line));
  const deps = { ...wayOut, model: api, log };
  const container = await openWireContainer(deps);
  return { internet, container, wayOut, lines };
}

/** A request to the proxy that still needs its `end`. */
function ask(container: WireContainer, url: string, options: RequestOptions = {}): ClientRequest {
  const headers = { host: new URL(url).host, ...options.headers };
  const call = request({ ...options, port: container.port, path: url, headers });
  call.on('error', () => {}); // Whoever waits for an answer hears of it.
  return call;
}

async function get(
  container: WireContainer,
  url: string,
  options: RequestOptions = {},
  body?: string | Buffer,
): Promise<IncomingMessage> {
  const call = ask(container, url, options);
  call.end(body);
  const [response] = await once(call, 'response');
  return response;
}

async function read(response: IncomingMessage) {
  return { status: response.statusCode, body: await text(response) };
}

/** A connection to the proxy on which anything can be said. */
async function dial(container: WireContainer): Promise<Socket> {
  const socket = connect({ port: container.port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** A web server of bare TCP: says exactly what the test wants. Its address is 13.0.0.1. */
async function bareHost(
  internet: Internet,
  name: string,
  serve: (socket: Socket) => unknown,
  port = 80,
): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {}); // The tests cut connections at will.
    serve(socket);
  });
  onTestFinished(() => void server.close());
  server.listen(port, '13.0.0.1');
  await once(server, 'listening');
  internet.names.declare(name, ['13.0.0.1']);
}

/** Answers with what it was asked: method, path, headers, body. */
const echo: RequestListener = async (incoming, response) => {
  const body = await text(incoming);
  const { method, url, rawHeaders, trailers } = incoming;
  response.end(JSON.stringify({ method, url, rawHeaders, body, trailers }));
};

describe('a body arrives as it was sent', needsInternet, () => {
  const long = 'a long body '.repeat(100_000);
  const framings = [
    { framing: 'none', headers: {}, body: undefined, is: [] },
    { framing: 'of length 0', headers: { 'content-length': '0' }, body: '', is: ['0'] },
    {
      framing: 'of a length',
      headers: { 'content-length': String(long.length) },
      body: long,
      is: [String(long.length)],
    },
    {
      framing: 'in chunks',
      headers: { 'transfer-encoding': 'chunked' },
      body: long,
      is: ['chunked'],
    },
  ];
  test.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s', async (method) => {
    const { internet, container } = await open();
    await internet.host('echo.example', echo);
    for (const { framing, headers, body, is } of framings) {
      const answer = await get(container, 'http://echo.example/a?b=c', { method, headers }, body);
      const seen = JSON.parse(await text(answer));
      expect(seen, framing).toMatchObject({ method, url: '/a?b=c', body: body ?? '' });
      const said = pairs(seen.rawHeaders)
        .filter(([name]) => ['content-length', 'transfer-encoding'].includes(name))
        .map(([, value]) => value);
      // A method that may have a body says that it has none.
      const none = ['POST', 'PUT', 'PATCH'].includes(method) ? ['0'] : [];
      expect(said, framing).toEqual(body === undefined ? none : is);
    }
  });

  test('after the word to go on, for a client that waits for it', async () => {
    const { internet, container } = await open();
    await internet.host('echo.example', echo);
    const headers = { expect: '100-continue', 'content-length': 5 };
    const call = ask(container, 'http://echo.example/', { method: 'PUT', headers });
    call.flushHeaders();
    await once(call, 'continue');
    call.end('hello');
    const [answer] = await once(call, 'response');
    expect(JSON.parse(await text(answer))).toMatchObject({ method: 'PUT', body: 'hello' });
  });

  test('without its trailers', async () => {
    const { internet, container } = await open();
    await internet.host('echo.example', echo);
    const call = ask(container, 'http://echo.example/', {
      method: 'POST',
      headers: { trailer: 'x-a' },
    });
    call.write('hello');
    call.addTrailers({ 'x-a': 'b' });
    call.end();
    const [answer] = await once(call, 'response');
    expect(JSON.parse(await text(answer))).toMatchObject({ body: 'hello', trailers: {} });
  });

  test('and one that is answered before its end leaves the connection usable', async () => {
    const { internet, container } = await open();
    await internet.host('hasty.example', (incoming, response) => {
      if (incoming.method === 'GET') response.end('fine');
      else response.writeHead(413).end('too much');
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const call = ask(container, 'http://hasty.example/', { method: 'POST', agent });
    call.write('the beginning');
    const [answer] = await once(call, 'response');
    expect(await read(answer)).toEqual({ status: 413, body: 'too much' });
    call.end(Buffer.alloc(20 << 20));
    const next = await get(container, 'http://hasty.example/', { agent });
    expect(await read(next)).toEqual({ status: 200, body: 'fine' });
    expect(next.socket).toBe(answer.socket);
  });
});

function pairs(raw: string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, index) => [
    String(raw[2 * index]).toLowerCase(),
    String(raw[2 * index + 1]),
  ]);
}

describe('an answer comes back as it was given', needsInternet, () => {
  test.each([
    {
      what: 'of a length',
      method: 'GET',
      status: 200,
      said: 'content-length: 5\r\n\r\nhello',
      body: 'hello',
    },
    {
      what: 'in chunks',
      method: 'GET',
      status: 200,
      said: 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      body: 'hello',
    },
    {
      what: 'to the end of the connection',
      method: 'GET',
      status: 200,
      said: '\r\nhello',
      body: 'hello',
    },
    {
      what: 'with trailers',
      method: 'GET',
      status: 200,
      said: 'transfer-encoding: chunked\r\ntrailer: x-a\r\n\r\n5\r\nhello\r\n0\r\nx-a: b\r\n\r\n',
      body: 'hello',
    },
    {
      what: 'of a HEAD',
      method: 'HEAD',
      status: 200,
      said: 'content-length: 5000\r\n\r\n',
      body: '',
    },
    { what: 'without content', method: 'GET', status: 204, said: '\r\n', body: '' },
    {
      what: 'not modified',
      method: 'GET',
      status: 304,
      said: 'content-length: 5000\r\netag: "a"\r\n\r\n',
      body: '',
    },
    {
      what: 'after words on the way',
      method: 'GET',
      status: 200,
      said: '',
      before: 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n',
      body: '',
    },
    {
      what: 'with a number that nobody knows',
      method: 'GET',
      status: 799,
      said: 'content-length: 2\r\n\r\nhm',
      body: 'hm',
    },
  ])('$what', async ({ method, status, said, body, before = '' }) => {
    const { internet, container } = await open();
    await bareHost(internet, 'bare.example', (socket) => {
      socket.once('data', () =>
        socket.end(`${before}HTTP/1.1 ${status} X\r\n${said || 'content-length: 0\r\n\r\n'}`),
      );
    });
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const answer = await get(container, 'http://bare.example/', { method, agent });
    expect(await read(answer)).toEqual({ status, body });
    const length = /content-length: (\d+)/.exec(said)?.[1];
    expect(answer.headers['content-length']).toBe(
      status === 204 ? undefined : (length ?? (before ? '0' : undefined)),
    );
    // The connection is good for another request.
    const next = await get(container, 'http://bare.example/', { method, agent });
    expect(await read(next)).toEqual({ status, body });
    expect(next.socket).toBe(answer.socket);
  });
});

describe('of the headers', needsInternet, () => {
  test('all arrive but those of the connection', async () => {
    const { internet, container } = await open();
    await internet.host('echo.example', echo);
    const lines = [
      'Host',
      'elsewhere.example',
      'Connection',
      'keep-alive, X-Hop,x-other',
      'Keep-Alive',
      'timeout=5',
      'Proxy-Authorization',
      'Basic c2VjcmV0',
      'Proxy-Connection',
      'keep-alive',
      'TE',
      'trailers',
      'Upgrade',
      'h2c',
      'HTTP2-Settings',
      'AAMAAABk',
      'X-Hop',
      '1',
      'X-Other',
      '1',
      'X-Kept',
      'a',
      'X-Kept',
      'b',
      'Cookie',
      'a=1',
      'Authorization',
      'Bearer own',
      'Accept-Encoding',
      'br',
      'User-Agent',
      'me',
      'X-Umlaut',
      '\xfc',
    ];
    const path = "http://user:secret@Echo.Example:80/a%2fb/../c?d='|{}#e";
    const call = request({ port: container.port, path, headers: lines, agent: false });
    call.end();
    const [answer] = await once(call, 'response');
    const seen = JSON.parse(await text(answer));
    expect(seen.url).toBe("/a%2fb/../c?d='|{}");
    expect(pairs(seen.rawHeaders).sort()).toEqual([
      ['accept-encoding', 'br'],
      ['authorization', 'Bearer own'],
      ['connection', 'close'],
      ['cookie', 'a=1'],
      ['host', 'echo.example'],
      ['user-agent', 'me'],
      ['x-kept', 'a, b'],
      ['x-umlaut', '\xfc'],
    ]);
  });

  test('of an answer all come back but those of the connection, each as often as it was sent', async () => {
    const { internet, container } = await open();
    await bareHost(internet, 'bare.example', (socket) => {
      socket.once('data', () =>
        socket.end(
          [
            'HTTP/1.1 200 OK',
            'Connection: X-Hop',
            'Keep-Alive: timeout=99',
            'Proxy-Authenticate: Basic',
            'Upgrade: h2c',
            'X-Hop: 1',
            'Set-Cookie: a=1',
            'Set-Cookie: b=2; Expires=Mon, 01 Jan 2029 00:00:00 GMT',
            'Link: </a>',
            'Link: </b>',
            'Location: /elsewhere',
            'Date: Mon, 01 Jan 2029 00:00:00 GMT',
            'Content-Length: 0',
            '',
            '',
          ].join('\r\n'),
        ),
      );
    });
    const answer = await get(container, 'http://bare.example/');
    expect(answer.headers).toMatchObject({
      'set-cookie': ['a=1', 'b=2; Expires=Mon, 01 Jan 2029 00:00:00 GMT'],
      link: '</a>, </b>',
      location: '/elsewhere',
      date: 'Mon, 01 Jan 2029 00:00:00 GMT',
    });
    const names = Object.keys(answer.headers);
    for (const name of ['x-hop', 'proxy-authenticate', 'upgrade'])
      expect(names).not.toContain(name);
    expect(answer.headers['keep-alive']).not.toBe('timeout=99');
  });
});

describe('a host that breaks the protocol is told of, and breaks nothing', needsInternet, () => {
  const answers = [
    'HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    'HTTP/1.1 20 X\r\n\r\n',
    'HTTP/1.1 2000 X\r\n\r\n',
    'HTTP/1.1 200 X\r\nx y: z\r\n\r\n',
    'HTTP/1.1 200 X\r\n: z\r\n\r\n',
    'HTTP/1.1 200 X\r\nx: \x01\r\n\r\n',
    'HTTP/1.1 200 X\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
    'HTTP/1.1 200 X\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 200 X\r\ncontent-length: -1\r\n\r\n',
    'HTTP/2 200\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'SSH-2.0-OpenSSH\r\n',
    '',
    `HTTP/1.1 200 X\r\nx: ${'y'.repeat(1 << 20)}\r\n\r\n`,
    `HTTP/1.1 200 X\r\n${'x: y\r\n'.repeat(100_000)}\r\n`,
  ];
  test('whatever it says', async () => {
    const { internet, container, lines } = await open();
    let said = '';
    await bareHost(internet, 'bare.example', (socket) => {
      socket.once('data', () => socket.end(said, 'latin1'));
    });
    for (said of answers) {
      const { status, body } = await read(await get(container, 'http://bare.example/'));
      const words = 'bare.example gave no proper answer.\n';
      expect({ status, body }, said.slice(0, 80)).toEqual({ status: 502, body: words });
    }
    expect(lines).toEqual([]);
  });

  test('with every byte there is, in every place', async () => {
    const { internet, container } = await open();
    const places = [
      (byte: string) => `HTTP/1.1 20${byte} X\r\ncontent-length: 0\r\n\r\n`,
      (byte: string) => `HTTP/1.1 200 X${byte}\r\ncontent-length: 0\r\n\r\n`,
      (byte: string) => `HTTP/1.1 200 X\r\nx${byte}: 1\r\n\r\n`,
      (byte: string) => `HTTP/1.1 200 X\r\nx: 1${byte}2\r\n\r\n`,
      (byte: string) => `HTTP/1.1 200 X\r\ncontent-length: 0${byte}\r\n\r\n`,
    ];
    let said = '';
    await bareHost(internet, 'bare.example', (socket) => {
      socket.once('data', () => socket.end(said, 'latin1'));
    });
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    for (const place of places)
      for (let code = 0; code < 256; code += 1) {
        said = place(String.fromCharCode(code));
        const answer = await get(container, 'http://bare.example/', { agent }).catch(() => null);
        await answer
          ?.resume()
          .toArray()
          .catch(() => {});
        const isCut = /length: 0[1-9]/.test(said); // Then the cut may overtake the head.
        expect(isCut || Number(answer?.statusCode) > 199, JSON.stringify(said)).toBe(true);
      }
  });
});

describe('what comes of an answer', needsInternet, () => {
  test('comes as it comes', async () => {
    const { internet, container } = await open();
    let finish = (_text: string) => {};
    const rest = new Promise<string>((resolve) => {
      finish = resolve;
    });
    await internet.host('slow.example', slow(rest));
    const answer = await get(container, 'http://slow.example/');
    expect(answer.statusCode).toBe(200); // The head is here, the rest is not yet.
    finish('the rest');
    expect(await text(answer)).toBe('the rest');
  });

  test.each([
    ['of a length', 'content-length: 100\r\n\r\nhello'],
    ['in chunks', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['in chunks that are none', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n'],
  ])('is cut where it is cut there: %s', async (_what, said) => {
    const { internet, container } = await open();
    await bareHost(internet, 'bare.example', (socket) => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 X\r\n${said}`));
    });
    // The cut may overtake the head.
    const answer = get(container, 'http://bare.example/').then(text);
    await expect(answer).rejects.toThrow(/aborted|socket hang up/);
  });

  test('is not waited for when the client has left', async () => {
    const { internet, container } = await open();
    const host = await internet.host('silent.example', silence());
    const call = ask(container, 'http://silent.example/');
    call.end();
    await expect.poll(() => host.traffic.requests).toBe(1);
    call.destroy();
    expect(await host.settledTraffic()).toMatchObject({ connections: 1, requests: 1 });
  });

  test('is not waited for without end', async () => {
    class Impatient extends Web {
      override async connect(...args: Parameters<Web['connect']>) {
        return (await super.connect(...args)).setTimeout(100);
      }
    }
    const { internet, container } = await open(Impatient);
    await internet.host('silent.example', silence());
    const answer = await get(container, 'http://silent.example/');
    const words = 'silent.example gave no proper answer.\n';
    expect(await read(answer)).toEqual({ status: 502, body: words });
  });
});

describe('of what a client asks', needsInternet, () => {
  const get = 'GET http://page.example/ HTTP/1.1\r\nhost: page.example\r\n';
  test.each([
    { what: 'two lengths', said: `${get}content-length: 1\r\ncontent-length: 2\r\n\r\nab` },
    {
      what: 'a length and chunks',
      said: `${get}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    },
    { what: 'chunks in name only', said: `${get}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n` },
    { what: 'chunks twice', said: `${get}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n` },
    { what: 'a coding', said: `${get}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n` },
    { what: 'a folded header', said: `${get}x-a: b\r\n c\r\n\r\n` },
    { what: 'a space before the colon', said: `${get}content-length : 1\r\n\r\na` },
    { what: 'a head without end', said: `${get}x: ${'y'.repeat(1 << 20)}` },
    { what: 'a bare CR', said: `${get}x-a: b\rc\r\n\r\n` },
    { what: 'a zero byte', said: `${get}x-a: b\0c\r\n\r\n` },
    { what: 'no host', said: 'GET http://page.example/ HTTP/1.1\r\n\r\n' },
    { what: 'an address of https', said: 'GET https://page.example/ HTTP/1.1\r\nhost: x\r\n\r\n' },
    { what: 'an address of ftp', said: 'GET ftp://page.example/ HTTP/1.1\r\nhost: x\r\n\r\n' },
    {
      what: 'an address without slashes',
      said: 'GET http:page.example/ HTTP/1.1\r\nhost: x\r\n\r\n',
    },
    { what: 'another port', said: 'GET http://page.example:8080/ HTTP/1.1\r\nhost: x\r\n\r\n' },
    { what: 'everything', said: 'OPTIONS * HTTP/1.1\r\nhost: page.example\r\n\r\n' },
    { what: 'no HTTP', said: '\x16\x03\x01\x02\x00\x01' },
    { what: 'HTTP/2', said: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
    { what: 'a tunnel to nowhere', said: 'CONNECT / HTTP/1.1\r\nhost: x\r\n\r\n' },
    { what: 'a tunnel to mail', said: 'CONNECT page.example:25 HTTP/1.1\r\nhost: x\r\n\r\n' },
  ])('$what is refused', async ({ said }) => {
    const { internet, container, lines } = await open();
    const host = await internet.host('page.example', page('hello'));
    const socket = await dial(container);
    socket.write(said, 'latin1');
    const answer = once(socket, 'data').then(([data]) => String(data));
    expect(await answer).toMatch(/^HTTP\/1\.1 (?:4\d\d|501) [\w ]+/);
    expect(host.requests).toEqual([]);
    expect(lines.join('')).not.toContain('"err"');
  });

  test('a second request before the answer to the first is refused', async () => {
    const { internet, container } = await open();
    const first = await internet.host('first.example', silence());
    const second = await internet.host('second.example', page('hello'));
    const socket = await dial(container);
    socket.write('GET http://first.example/ HTTP/1.1\r\nhost: x\r\n\r\n');
    socket.write('GET http://second.example/ HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await text(socket)).toBe('');
    expect((await first.settledTraffic()).requests).toBeLessThanOrEqual(1);
    expect(second.requests).toEqual([]);
  });

  test('a wish for another protocol is not passed on', async () => {
    const { internet, container } = await open();
    await internet.host('echo.example', echo);
    const headers = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': 'a' };
    const call = ask(container, 'http://echo.example/', { headers });
    call.end();
    const [answer] = await once(call, 'response');
    const { rawHeaders } = JSON.parse(await text(answer));
    const names = pairs(rawHeaders).map(([name]) => name);
    expect(names).not.toContain('upgrade');
  });

  test('no byte in any place makes the host stumble', async () => {
    const { internet, container, lines } = await open();
    await internet.host('page.example', page('hello'));
    const rest = 'HTTP/1.1\r\nhost: x\r\nconnection: close';
    const places = [
      (byte: string) => `GET http://page.example/${byte} ${rest}\r\n\r\n`,
      (byte: string) => `GET http://page.example/?${byte} ${rest}\r\n\r\n`,
      (byte: string) => `GET http://page.example${byte}/ ${rest}\r\n\r\n`,
      (byte: string) => `GET http://${byte}page.example/ ${rest}\r\n\r\n`,
      (byte: string) => `GET http:${byte}//page.example/ ${rest}\r\n\r\n`,
      (byte: string) => `GET http://page.example/ ${rest}\r\nx${byte}: 1\r\n\r\n`,
      (byte: string) => `GET http://page.example/ ${rest}\r\nx: 1${byte}2\r\n\r\n`,
      (byte: string) => `GET http://page.example/ ${rest}, x${byte}\r\n\r\n`,
      (byte: string) => `CONNECT page.example:25${byte} ${rest}\r\n\r\n`,
    ];
    for (const place of places)
      await Promise.all(
        Array.from({ length: 256 }, async (_, code) => {
          const socket = await dial(container);
          socket.end(place(String.fromCharCode(code)), 'latin1');
          socket.resume();
          socket.on('error', () => {}); // The cut may be a reset.
          await new Promise((closed) => socket.once('close', closed));
        }),
      );
    expect(lines.filter((line) => line.includes('"err"'))).toEqual([]);
  });
});

/** The client's end of a tunnel, when the proxy has agreed to it. */
async function openTunnel(container: WireContainer, authority: string, head = ''): Promise<Socket> {
  const socket = await dial(container);
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n${head}`);
  const agreed = 'HTTP/1.1 200 Connection established\r\n\r\n';
  let said = '';
  while (said.length < agreed.length) {
    await once(socket, 'readable');
    said += socket.read(agreed.length - said.length) ?? '';
  }
  expect(said).toBe(agreed);
  return socket;
}

/** All until the other side's end, which leaves our side open; `text` would close it. */
async function heard(socket: Socket): Promise<string> {
  let said = '';
  socket.setEncoding('latin1').on('data', (part) => {
    said += part;
  });
  await once(socket, 'end');
  return said;
}

describe('a tunnel', needsInternet, () => {
  test('carries what came with the request, and anything after it', async () => {
    const { internet, container } = await open();
    await bareHost(internet, 'bare.example', (socket) => socket.pipe(socket), 443);
    const socket = await openTunnel(container, 'bare.example:443', '\0first');
    socket.end(' second\xff', 'latin1');
    expect(await heard(socket)).toBe('\0first second\xff');
  });

  test('lets the host speak first', async () => {
    const { internet, container } = await open();
    await bareHost(internet, 'bare.example', (socket) => socket.end('welcome'), 443);
    expect(await heard(await openTunnel(container, 'bare.example:443'))).toBe('welcome');
  });

  test('lets a client that has said all still listen', async () => {
    const { internet, container } = await open();
    await bareHost(
      internet,
      'bare.example',
      async (socket) => {
        const said = await heard(socket);
        socket.end(`${said}, and much more: ${'.'.repeat(1 << 20)}`);
      },
      443,
    );
    const socket = await openTunnel(container, 'bare.example:443');
    socket.end('all');
    expect(await heard(socket)).toHaveLength('all, and much more: '.length + (1 << 20));
  });

  test('lets a host that has said all still listen', async () => {
    const { internet, container } = await open();
    const last = new Promise<string>((resolve) => {
      void bareHost(
        internet,
        'bare.example',
        (socket) => {
          socket.end('all');
          resolve(heard(socket));
        },
        443,
      );
    });
    const socket = await openTunnel(container, 'bare.example:443');
    expect(await heard(socket)).toBe('all');
    socket.end('and much more');
    expect(await last).toBe('and much more');
  });

  test.each(['end', 'resetAndDestroy', 'destroy'] as const)(
    'goes when the client goes (%s)',
    async (how) => {
      const { internet, container } = await open();
      const gone = new Promise((resolve) => {
        void bareHost(
          internet,
          'bare.example',
          (socket) => {
            socket.once('close', resolve);
            socket.on('end', () => socket.end()).resume();
          },
          443,
        );
      });
      const socket = await openTunnel(container, 'bare.example:443');
      socket[how]();
      await gone;
    },
  );

  test('goes when the host goes', async () => {
    const { internet, container } = await open();
    await bareHost(
      internet,
      'bare.example',
      (socket) => {
        socket.once('data', () => socket.resetAndDestroy());
      },
      443,
    );
    const socket = await openTunnel(container, 'bare.example:443');
    socket.on('error', () => {}); // The cut may be a reset.
    socket.resume().write('go');
    await once(socket, 'end');
  });

  test('frees its place when it is refused, whatever the client does', async () => {
    const { container } = await open();
    for (let count = 0; count < 70; count += 1) {
      const socket = await dial(container);
      socket.write(`CONNECT lost.example:443 HTTP/1.1\r\nhost: x\r\n\r\n${'.'.repeat(1000)}`);
      expect(await heard(socket)).toMatch(/^HTTP\/1.1 502 lost\.example was not found\./);
      socket.end('more');
    }
  });
});

/** A port 80 that answers no further call: a process that accepts none, and callers that wait. */
async function fillQueueOf(address: string): Promise<void> {
  const program = `require('net').createServer().listen({ port: 80, host: '${address}', backlog: 1 }, () => {
    require('fs').writeSync(1, 'listening');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  })`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  for (let count = 0; count < 8; count += 1) {
    const socket = connect(80, address).on('error', () => {});
    onTestFinished(() => void socket.destroy());
  }
}

describe('a host', needsInternet, () => {
  const connectWords = async (container: WireContainer, authority: string) => {
    const socket = await dial(container);
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: x\r\n\r\n`);
    return (await text(socket)).split('\r\n')[0];
  };

  test('may have an address of IPv6 only', async () => {
    const { internet, container } = await open();
    await internet.host('six.example', page('six'), { addresses: ['2600:66::1'] });
    expect((await read(await get(container, 'http://six.example/'))).body).toBe('six');
    expect((await read(await get(container, 'http://[2600:66::1]/'))).body).toBe('six');
  });

  test.each(['refuse', 'do not answer'])(
    'may have several addresses, of which the first %s',
    async (how) => {
      const { internet, container } = await open();
      if (how === 'do not answer') await fillQueueOf('14.0.0.1');
      const addresses = ['14.0.0.2', '2600:14::2'];
      await internet.host('two.example', page('two'), {
        addresses,
        replies: [['14.0.0.1', '2600:14::1', ...addresses]],
      });
      expect((await read(await get(container, 'http://two.example/'))).body).toBe('two');
    },
  );

  test('is told of by name when nobody answers at its addresses', async () => {
    const { internet, container } = await open();
    internet.names.declare('down.example', ['14.0.0.9', '2600:14::9']);
    const words = 'down.example cannot be reached.';
    const answer = await get(container, 'http://down.example/');
    expect(await read(answer)).toEqual({ status: 504, body: `${words}\n` });
    expect(await connectWords(container, 'down.example:443')).toBe(`HTTP/1.1 504 ${words}`);
  });

  test('is told of by name when it does not exist', async () => {
    const { container } = await open();
    const words = 'lost.example was not found.';
    const answer = await get(container, 'http://lost.example/');
    expect(await read(answer)).toEqual({ status: 502, body: `${words}\n` });
    expect(await connectWords(container, 'lost.example:443')).toBe(`HTTP/1.1 502 ${words}`);
  });

  test('is told of when the name server is silent', async () => {
    const { internet, container } = await open();
    internet.names.declare('mute.example', 'silence');
    const words = 'The name servers give no answer about mute.example.';
    expect(await connectWords(container, 'mute.example:443')).toBe(`HTTP/1.1 502 ${words}`);
  });
});

describe('much', needsInternet, () => {
  const muchBytes = 200 * 1024 * 1024;
  /** More than all buffers of the way hold together. */
  const stallBytes = 64 * 1024 * 1024;

  test.each(['http', 'https'])('comes down and goes up by %s, in little memory', async (scheme) => {
    const { internet, container } = await open();
    await internet.host('much.example', { '/zeros': zeros(muchBytes), '/sink': sink() });
    const watch = watchMemory(container);
    const proxy = ['--proxy', `http://127.0.0.1:${container.port}`];
    const common = ['-sS', '--fail', ...proxy, '--cacert', internet.authorityFile];
    const up = join(internet.dir, 'up');
    writeFileSync(up, '');
    truncateSync(up, muchBytes);
    const down = await runProgram('curl', [
      ...common,
      '-o',
      '/dev/null',
      '-w',
      '%{size_download}',
      `${scheme}://much.example/zeros`,
    ]);
    expect(Number(down.stdout)).toBe(muchBytes);
    const sent = await runProgram('curl', [...common, '-T', up, `${scheme}://much.example/sink`]);
    expect(sent.stdout).toBe(`${muchBytes} bytes\n`);
    const { hostBytes, containerBytes } = watch();
    expect(hostBytes).toBeLessThan(150 * 1024 * 1024);
    expect(containerBytes).toBeLessThan(150 * 1024 * 1024);
  });

  test('that a client does not read stalls its own connection only', async () => {
    const { internet, container } = await open();
    let sentBytes = 0;
    await internet.host('much.example', { '/page': page('a page'), '/zeros': zeros(muchBytes) });
    await bareHost(internet, 'flood.example', (socket) => {
      const chunk = Buffer.alloc(65_536);
      const pump = () => {
        while (sentBytes < 2 * stallBytes && socket.write(chunk)) sentBytes += chunk.length;
      };
      socket.once('data', () => socket.write('HTTP/1.1 200 X\r\n\r\n'));
      socket.on('drain', pump).once('data', pump);
    });
    const deaf: IncomingMessage[] = [];
    for (let count = 0; count < 8; count += 1)
      deaf.push((await get(container, 'http://much.example/zeros')).pause());
    deaf.push((await get(container, 'http://flood.example/')).pause());
    await expect.poll(() => sentBytes).toBeGreaterThan(0);
    const answer = await get(container, 'http://much.example/zeros');
    let bytes = 0;
    for await (const chunk of answer) bytes += chunk.length;
    expect(bytes).toBe(muchBytes);
    expect(sentBytes).toBeLessThan(stallBytes);
    for (const one of deaf) one.destroy();
    expect((await read(await get(container, 'http://much.example/page'))).body).toBe('a page');
  });

  test('that a host does not read stalls its own connection only', async () => {
    const { internet, container } = await open();
    await internet.host('page.example', page('a page'));
    const agent = new Agent();
    await bareHost(internet, 'deaf.example', (socket) => socket.pause());
    const headers = { 'content-length': stallBytes };
    const calls = Array.from({ length: 8 }, () =>
      ask(container, 'http://deaf.example/', { method: 'PUT', headers, agent }),
    );
    for (const call of calls) {
      onTestFinished(() => void call.destroy());
      call.end(Buffer.alloc(stallBytes));
    }
    await Promise.all(calls.map((call) => once(call, 'socket')));
    for (let count = 0; count < 20; count += 1)
      expect((await read(await get(container, 'http://page.example/'))).body).toBe('a page');
    expect(calls.filter((call) => call.writableFinished)).toEqual([]);
  });

  test('at once waits: the 65th connection comes when one goes', async () => {
    const { internet, container } = await open();
    await internet.host('page.example', page('a page'));
    await bareHost(internet, 'bare.example', (socket) => socket.pipe(socket), 443);
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const first = async () =>
      expect((await read(await get(container, 'http://page.example/', { agent }))).body).toBe(
        'a page',
      );
    await first();
    const tunnels: Socket[] = [];
    for (let count = 1; count < 64; count += 1)
      tunnels.push(await openTunnel(container, 'bare.example:443'));
    let isAnswered = false;
    const last = get(container, 'http://page.example/').then((answer) => {
      isAnswered = true;
      return read(answer);
    });
    for (let count = 0; count < 5; count += 1) await first();
    expect(isAnswered).toBe(false);
    tunnels[1]?.destroy();
    expect((await last).body).toBe('a page');
  });
});

/** The most resident memory that is added from now on, in bytes, by the kernel's own account. */
function watchMemory({ child }: WireContainer) {
  const peakOf = (pid: number | undefined) => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return 1024 * Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]);
  };
  for (const pid of [process.pid, child.pid]) writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const before = { host: peakOf(process.pid), container: peakOf(child.pid) };
  return () => ({
    hostBytes: peakOf(process.pid) - before.host,
    containerBytes: peakOf(child.pid) - before.container,
  });
}
