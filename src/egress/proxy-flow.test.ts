/** Slow, endless and large transfers: what is streamed, what is held back, and what is given up. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { needsInternet } from '../../test/internet/internet.ts';
import { page, silence, sink, slow, zeros } from '../../test/internet/pages.ts';
import { ask, bareHost, get, openProxy, openTunnel, read } from '../../test/support/proxied.ts';
import type { WireContainer } from '../../test/support/wire-container.ts';
import { deferred } from '../deferred.ts';
import { Web } from './web.ts';

const runProgram = promisify(execFile);

describe('an answer', needsInternet, () => {
  test('is streamed as it arrives', async () => {
    const { internet, container } = await openProxy();
    const rest = deferred<string>();
    await internet.host('slow.example', slow(rest.promise));
    const answer = await get(container, 'http://slow.example/');
    expect(answer.statusCode).toBe(200); // The head has arrived, the body has not.
    rest.resolve('the rest');
    expect(await text(answer)).toBe('the rest');
  });

  test.each([
    ['with a length', 'content-length: 100\r\n\r\nhello'],
    ['in chunks', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['in malformed chunks', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n'],
  ])('is cut off where the host cuts it off: %s', async (_what, said) => {
    const { internet, container } = await openProxy();
    await bareHost(internet, 'bare.example', (socket) => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 X\r\n${said}`));
    });
    // The reset may arrive before the head.
    const answer = get(container, 'http://bare.example/').then(text);
    await expect(answer).rejects.toThrow(/aborted|socket hang up/);
  });

  test('is given up when the client leaves', async () => {
    const { internet, container } = await openProxy();
    const asked = deferred<void>();
    const host = await internet.host('silent.example', () => asked.resolve());
    const call = ask(container, 'http://silent.example/');
    call.end();
    await asked.promise;
    call.destroy();
    expect(await host.settledTraffic()).toMatchObject({ connections: 1, requests: 1 });
  });

  test('is given up when the host stays silent for too long', async () => {
    class Impatient extends Web {
      override async connect(...args: Parameters<Web['connect']>) {
        return (await super.connect(...args)).setTimeout(100);
      }
    }
    const { internet, container } = await openProxy(Impatient);
    await internet.host('silent.example', silence());
    const answer = await get(container, 'http://silent.example/');
    const words = 'silent.example gave no proper answer.\n';
    expect(await read(answer)).toEqual({ status: 502, body: words });
  });
});

describe('under load', needsInternet, () => {
  const muchBytes = 200 * 1024 * 1024;
  /** More than all buffers between client and host hold together. */
  const stallBytes = 64 * 1024 * 1024;

  test.each(['http', 'https'])('200 MB pass down and up by %s in little memory', async (scheme) => {
    const { internet, container } = await openProxy();
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

  test('a client that does not read stalls only its own connection', async () => {
    const { internet, container } = await openProxy();
    let sentBytes = 0;
    const isSending = deferred<void>();
    await internet.host('much.example', { '/page': page('a page'), '/zeros': zeros(muchBytes) });
    await bareHost(internet, 'flood.example', (socket) => {
      const chunk = Buffer.alloc(65_536);
      const pump = () => {
        while (sentBytes < 2 * stallBytes && socket.write(chunk)) sentBytes += chunk.length;
        isSending.resolve();
      };
      socket.once('data', () => socket.write('HTTP/1.1 200 X\r\n\r\n'));
      socket.on('drain', pump).once('data', pump);
    });
    const deaf: IncomingMessage[] = [];
    for (let count = 0; count < 8; count += 1)
      deaf.push((await get(container, 'http://much.example/zeros')).pause());
    deaf.push((await get(container, 'http://flood.example/')).pause());
    await isSending.promise;
    expect(sentBytes).toBeGreaterThan(0);
    const answer = await get(container, 'http://much.example/zeros');
    let bytes = 0;
    for await (const chunk of answer) bytes += chunk.length;
    expect(bytes).toBe(muchBytes);
    expect(sentBytes).toBeLessThan(stallBytes);
    for (const one of deaf) one.destroy();
    expect((await read(await get(container, 'http://much.example/page'))).body).toBe('a page');
  });

  test('a host that does not read stalls only its own connection', async () => {
    const { internet, container } = await openProxy();
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

  test('the 65th connection waits until another one closes', async () => {
    const { internet, container } = await openProxy();
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

/** Returns what reads how much the resident memory has peaked above its level now, in bytes. */
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
