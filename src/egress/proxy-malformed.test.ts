/** Clients and hosts that break HTTP: the proxy refuses, and goes on. */
import { once } from 'node:events';
import { Agent } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { malformedAnswers, malformedRequests } from '../../test/fixtures/http-messages.ts';
import { needsInternet } from '../../test/internet/internet.ts';
import { page, silence } from '../../test/internet/pages.ts';
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

describe(
  'a malformed answer of a host is reported to the client and breaks nothing',
  needsInternet,
  () => {
    test('in every known form', async () => {
      const { internet, container, lines } = await openProxy();
      let said = '';
      await bareHost(internet, 'bare.example', (socket) => {
        socket.once('data', () => socket.end(said, 'latin1'));
      });
      for (said of malformedAnswers) {
        const { status, body } = await read(await get(container, 'http://bare.example/'));
        const words = 'bare.example gave no proper answer.\n';
        expect({ status, body }, said.slice(0, 80)).toEqual({ status: 502, body: words });
      }
      expect(lines).toEqual([]);
    });

    test('with every byte in every place', async () => {
      const { internet, container } = await openProxy();
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
          const isCut = /length: 0[1-9]/.test(said); // The connection may then be reset before the head arrives.
          expect(isCut || Number(answer?.statusCode) > 199, JSON.stringify(said)).toBe(true);
        }
    });
  },
);

describe('a malformed request', needsInternet, () => {
  test.each(malformedRequests)('with $what is refused', async ({ said }) => {
    const { internet, container, lines } = await openProxy();
    const host = await internet.host('page.example', page('hello'));
    const socket = await dial(container);
    socket.write(said, 'latin1');
    const answer = once(socket, 'data').then(([data]) => String(data));
    expect(await answer).toMatch(/^HTTP\/1\.1 (?:4\d\d|501) [\w ]+/);
    expect(host.requests).toEqual([]);
    expect(lines.join('')).not.toContain('"err"');
  });

  test('that comes before the answer to the one before it is refused', async () => {
    const { internet, container } = await openProxy();
    const first = await internet.host('first.example', silence());
    const second = await internet.host('second.example', page('hello'));
    const socket = await dial(container);
    socket.write('GET http://first.example/ HTTP/1.1\r\nhost: x\r\n\r\n');
    socket.write('GET http://second.example/ HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await text(socket)).toBe('');
    expect((await first.settledTraffic()).requests).toBeLessThanOrEqual(1);
    expect(second.requests).toEqual([]);
  });

  test('that asks for another protocol is passed on without its Upgrade header', async () => {
    const { internet, container } = await openProxy();
    await internet.host('echo.example', echo);
    const headers = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': 'a' };
    const call = ask(container, 'http://echo.example/', { headers });
    call.end();
    const [answer] = await once(call, 'response');
    const { rawHeaders } = JSON.parse(await text(answer));
    const names = pairs(rawHeaders).map(([name]) => name);
    expect(names).not.toContain('upgrade');
  });

  test('with any byte in any place causes no error in the host', async () => {
    const { internet, container, lines } = await openProxy();
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
          socket.on('error', () => {}); // The proxy may end it with a reset.
          await new Promise((closed) => socket.once('close', closed));
        }),
      );
    expect(lines.filter((line) => line.includes('"err"'))).toEqual([]);
  });
});
