/** What the proxy passes on, in both directions, and what it says when it cannot. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { wellFormedAnswers } from '../../test/fixtures/http-messages.ts';
import { needsInternet } from '../../test/internet/internet.ts';
import { page } from '../../test/internet/pages.ts';
import {
  ask,
  bareHost,
  dial,
  echo,
  get,
  openProxy,
  pairs,
  read,
} from '../../test/support/proxied.ts';
import type { WireContainer } from '../../test/support/wire-container.ts';

describe('the body of a request', needsInternet, () => {
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
  test.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
    'arrives as it was sent by %s',
    async (method) => {
      const { internet, container } = await openProxy();
      await internet.host('echo.example', echo);
      for (const { framing, headers, body, is } of framings) {
        const answer = await get(container, 'http://echo.example/a?b=c', { method, headers }, body);
        const seen = JSON.parse(await text(answer));
        expect(seen, framing).toMatchObject({ method, url: '/a?b=c', body: body ?? '' });
        const said = pairs(seen.rawHeaders)
          .filter(([name]) => ['content-length', 'transfer-encoding'].includes(name))
          .map(([, value]) => value);
        // Node states a length of 0 for methods that usually have a body.
        const none = ['POST', 'PUT', 'PATCH'].includes(method) ? ['0'] : [];
        expect(said, framing).toEqual(body === undefined ? none : is);
      }
    },
  );

  test('arrives after 100 Continue, for a client that waits for it', async () => {
    const { internet, container } = await openProxy();
    await internet.host('echo.example', echo);
    const headers = { expect: '100-continue', 'content-length': 5 };
    const call = ask(container, 'http://echo.example/', { method: 'PUT', headers });
    call.flushHeaders();
    await once(call, 'continue');
    call.end('hello');
    const [answer] = await once(call, 'response');
    expect(JSON.parse(await text(answer))).toMatchObject({ method: 'PUT', body: 'hello' });
  });

  test('arrives without its trailers', async () => {
    const { internet, container } = await openProxy();
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

  test('leaves the connection usable when the answer comes before its end', async () => {
    const { internet, container } = await openProxy();
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

describe('an answer comes back as the host gave it', needsInternet, () => {
  test.each(wellFormedAnswers)('$what', async ({ method, status, said, body, before = '' }) => {
    const { internet, container } = await openProxy();
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
    // The connection can carry another request.
    const next = await get(container, 'http://bare.example/', { method, agent });
    expect(await read(next)).toEqual({ status, body });
    expect(next.socket).toBe(answer.socket);
  });
});

describe('the headers', needsInternet, () => {
  test('of a request all arrive, except those of the connection', async () => {
    const { internet, container } = await openProxy();
    await internet.host('echo.example', echo);
    const headers = [
      ['Host', 'elsewhere.example'],
      ['Connection', 'keep-alive, X-Hop,x-other'],
      ['Keep-Alive', 'timeout=5'],
      ['Proxy-Authorization', 'Basic c2VjcmV0'],
      ['Proxy-Connection', 'keep-alive'],
      ['TE', 'trailers'],
      ['Upgrade', 'h2c'],
      ['HTTP2-Settings', 'AAMAAABk'],
      ['X-Hop', '1'],
      ['X-Other', '1'],
      ['X-Kept', 'a'],
      ['X-Kept', 'b'],
      ['Cookie', 'a=1'],
      ['Authorization', 'Bearer own'],
      ['Accept-Encoding', 'br'],
      ['User-Agent', 'me'],
      ['X-Umlaut', '\xfc'],
    ].flat();
    const path = "http://user:secret@Echo.Example:80/a%2fb/../c?d='|{}#e";
    const call = request({ port: container.port, path, headers, agent: false });
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

  test('of an answer all come back, except those of the connection, each as often as it was sent', async () => {
    const { internet, container } = await openProxy();
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

/** Makes port 80 of an address silent: a process that never accepts, with its queue full. */
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

  test('may have an IPv6 address only', async () => {
    const { internet, container } = await openProxy();
    await internet.host('six.example', page('six'), { addresses: ['2600:66::1'] });
    expect((await read(await get(container, 'http://six.example/'))).body).toBe('six');
    expect((await read(await get(container, 'http://[2600:66::1]/'))).body).toBe('six');
  });

  test.each(['refuses', 'does not answer'])(
    'may have several addresses, the first of which %s',
    async (how) => {
      const { internet, container } = await openProxy();
      if (how === 'does not answer') await fillQueueOf('14.0.0.1');
      const addresses = ['14.0.0.2', '2600:14::2'];
      await internet.host('two.example', page('two'), {
        addresses,
        replies: [['14.0.0.1', '2600:14::1', ...addresses]],
      });
      expect((await read(await get(container, 'http://two.example/'))).body).toBe('two');
    },
  );

  test('is named in the error when nobody answers at its addresses', async () => {
    const { internet, container } = await openProxy();
    internet.names.declare('down.example', ['14.0.0.9', '2600:14::9']);
    const words = 'down.example cannot be reached.';
    const answer = await get(container, 'http://down.example/');
    expect(await read(answer)).toEqual({ status: 504, body: `${words}\n` });
    expect(await connectWords(container, 'down.example:443')).toBe(`HTTP/1.1 504 ${words}`);
  });

  test('is named in the error when it does not exist', async () => {
    const { container } = await openProxy();
    const words = 'lost.example was not found.';
    const answer = await get(container, 'http://lost.example/');
    expect(await read(answer)).toEqual({ status: 502, body: `${words}\n` });
    expect(await connectWords(container, 'lost.example:443')).toBe(`HTTP/1.1 502 ${words}`);
  });

  test('is named in the error when the name server does not answer', async () => {
    const { internet, container } = await openProxy();
    internet.names.declare('mute.example', 'silence');
    const words = 'The name servers give no answer about mute.example.';
    expect(await connectWords(container, 'mute.example:443')).toBe(`HTTP/1.1 502 ${words}`);
  });
});
