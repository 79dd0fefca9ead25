/**
 * The wire itself: with clients that break off, with peers that break the protocol, and with
 * `claude`.
 */
import { once } from 'node:events';
import { request } from 'node:http';
import { type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { duplexPair } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { query } from '@anthropic-ai/claude-agent-sdk';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openWire } from '../../container/agent-runner/wire.ts';
import { apiKey, modelWire, question, secret, send } from '../../test/support/model-wire.ts';
import { temporaryFolder } from '../../test/support/store.ts';
import { openWayOut } from '../../test/support/way-out.ts';
import { openModelApi } from './model-api.ts';
import { serveWire } from './wire.ts';

const host = modelWire();

describe('the container’s side', () => {
  test('keeps working when clients are cut off at any point', async () => {
    host.model.on('hello').stall();
    const container = await host.openContainer();
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

  test('reports a port that is in use', async () => {
    const taken = Number(new URL(host.model.url).port);
    const [input, output] = duplexPair();
    onTestFinished(() => void output.destroy());
    await expect(openWire({ input, output: input }).listen(taken)).rejects.toThrow('EADDRINUSE');
  });
});

describe('a peer that breaks the protocol ends its own wire and nothing else', () => {
  /** A wire whose other end is the test itself. */
  function openPeer(wayOut = openWayOut()) {
    const [ours, theirs] = duplexPair();
    theirs.on('error', () => {}); // The host may close it while the peer still writes.
    const wire = serveWire(
      { input: ours, output: ours },
      {
        ...wayOut,
        model: openModelApi({ baseUrl: host.model.url, credential: apiKey }),
        log: host.openLog(),
      },
    );
    onTestFinished(() => void wire.close());
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

  test('sends something other than HTTP/2', async () => {
    const { wire, peer } = openPeer();
    peer.resume().write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    expect((await wire.broken).message).toContain('bad client magic');
  });

  test('closes its output', async () => {
    const { wire, peer } = openPeer();
    peer.end();
    expect((await wire.broken).message).toContain('closed its end');
  });

  test('dies in the middle of a call', async () => {
    host.model.on('hello').stall();
    const { wire, child, port } = await host.openContainer();
    const call = request({ host: '127.0.0.1', port, method: 'POST', path: '/v1/messages' });
    call.on('error', () => {});
    call.end(question('hello'));
    const { cancelled } = await host.model.call('hello');
    child.kill('SIGKILL');
    expect(await wire.broken).toBeInstanceOf(Error);
    await cancelled;
  });

  test('sends garbage in the middle of a session, and stays connected', async () => {
    const { wire, peer } = openPeer();
    peer.resume().write(Buffer.concat([Buffer.from(preface), settings]));
    await nextTurn();
    peer.write(Buffer.alloc(1 << 20, 0xa5));
    expect(await wire.broken).toBeInstanceOf(Error);
  });

  test('sends pings for ever and never reads', async () => {
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
    // The host has either ended the wire or stopped reading: it does not buffer without limit.
    expect(written).toBeLessThan(100_000);
  });

  /** A peer that speaks valid HTTP/2 and sends bytes of the test's own on its streams. */
  async function openHttp2Peer() {
    const { wire, peer } = openPeer();
    const session = connect('http://nanoclaw', { createConnection: () => peer });
    session.on('error', () => {}); // The host may close it at any time.
    onTestFinished(() => void session.destroy());
    await once(session, 'remoteSettings');
    const open = (): ClientHttp2Stream => {
      const stream = session.request({ ':method': 'POST' });
      stream.on('error', () => {}); // These tests cause resets.
      return stream;
    };
    return { wire, session, open };
  }
  const call = (words: string) =>
    `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(question(words))}\r\n\r\n${question(words)}`;

  test('opens streams and resets them at once', async () => {
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

  test('resets a call with an error code', async () => {
    host.model.on('hello').hang();
    const { open } = await openHttp2Peer();
    const stream = open();
    stream.write(call('hello'));
    const { cancelled } = await host.model.call('hello');
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    await cancelled;
  });

  test('sends calls without waiting for answers: the connection is closed after the first', async () => {
    host.model.on('first').hang();
    const { open } = await openHttp2Peer();
    const stream = open();
    stream.write(call('first') + call('second').repeat(1000));
    await once(stream, 'close');
    const next = open();
    next.write(call('third'));
    await once(next, 'data');
    expect(host.model.calls.map(({ said }) => said)).not.toContain('second');
    expect(host.model.calls.length).toBeLessThanOrEqual(2);
  });

  test('puts every byte into names, values, paths and lengths', async () => {
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

  test('sends random frames, in a thousand rounds', { timeout: 60_000 }, async () => {
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

  test('is told to end: closing the wire ends the container’s side', async () => {
    const { wire, child } = await host.openContainer();
    wire.close();
    await wire.broken;
    expect(await once(child, 'exit')).toEqual([0, null]);
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
    host.model
      .on('hello')
      .callTool('Bash', { command: 'echo hi' })
      .thenReply((result) => result);
    const { port } = await host.openContainer({ kind: row.kind, secret });
    const home = temporaryFolder();
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
    expect(host.model.calls).toHaveLength(2);
    for (const { headers } of host.model.calls) {
      expect(headers).toMatchObject(row.sent);
      expect(headers[row.absent]).toBeUndefined();
      expect(JSON.stringify(headers)).not.toContain('placeholder');
    }
    expect(host.logged).not.toContain(secret);
  });
});
