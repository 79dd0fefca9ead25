/** CONNECT: bytes in both directions, and every way in which a tunnel ends. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { needsInternet } from '../../test/internet/internet.ts';
import { bareHost, dial, heard, openProxy, openTunnel } from '../../test/support/proxied.ts';

describe('a tunnel', needsInternet, () => {
  test('carries the bytes that came with the request, and all that follow', async () => {
    const { internet, container } = await openProxy();
    await bareHost(internet, 'bare.example', (socket) => socket.pipe(socket), 443);
    const socket = await openTunnel(container, 'bare.example:443', '\0first');
    socket.end(' second\xff', 'latin1');
    expect(await heard(socket)).toBe('\0first second\xff');
  });

  test('lets the host send first', async () => {
    const { internet, container } = await openProxy();
    await bareHost(internet, 'bare.example', (socket) => socket.end('welcome'), 443);
    expect(await heard(await openTunnel(container, 'bare.example:443'))).toBe('welcome');
  });

  test('lets a client that has ended its side still receive', async () => {
    const { internet, container } = await openProxy();
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

  test('lets a host that has ended its side still receive', async () => {
    const { internet, container } = await openProxy();
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
    'closes when the client closes (%s)',
    async (how) => {
      const { internet, container } = await openProxy();
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

  test('closes when the host closes', async () => {
    const { internet, container } = await openProxy();
    await bareHost(
      internet,
      'bare.example',
      (socket) => {
        socket.once('data', () => socket.resetAndDestroy());
      },
      443,
    );
    const socket = await openTunnel(container, 'bare.example:443');
    socket.on('error', () => {}); // The proxy may pass the reset on.
    socket.resume().write('go');
    await once(socket, 'end');
  });

  test('frees its slot when it is refused, whatever the client does', async () => {
    const { container } = await openProxy();
    for (let count = 0; count < 70; count += 1) {
      const socket = await dial(container);
      socket.write(`CONNECT lost.example:443 HTTP/1.1\r\nhost: x\r\n\r\n${'.'.repeat(1000)}`);
      expect(await heard(socket)).toMatch(/^HTTP\/1.1 502 lost\.example was not found\./);
      socket.end('more');
    }
  });
});
