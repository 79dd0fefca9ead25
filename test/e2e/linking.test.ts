/**
 * Linking and unlinking as a person does it at a terminal, with each way in which it can go wrong.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type jsQr from 'jsqr';
import { describe, expect, test } from 'vitest';
import { assistant, LinkedHost, owner } from '../support/linked-host.ts';
import { enterShownCode } from '../support/pairing-code.ts';

describe('linking', () => {
  test('shows a QR code that a phone can scan, and tells the next step', async () => {
    const host = await LinkedHost.prepare();
    const link = host.command('link', '--mode', 'own', '--owner', `+${owner.number}`);
    await link.says(/(?:^[█▀▄ ]{30,}\n){28}/m);
    await host.server.do('scanQr', { qr: readQr(link.output) });
    await link.says(/Linked as \+15550000001[\s\S]*npm start/);
    await link.exited;
    expect(link.child.exitCode).toBe(0);
    await host.run();
    await host.talks('hello');
  });

  test('reports what is wrong with a number, and what is missing without a terminal', async () => {
    const host = await LinkedHost.prepare();
    const refused = async (...args: string[]) => {
      const link = host.command('link', ...args);
      await link.exited;
      expect(link.child.exitCode).toBe(1);
      return link.output;
    };
    expect(await refused('--code', 'me', '--mode', 'shared')).toMatch(/"me" is no phone number/);
    expect(await refused()).toMatch(/say which chat is the main one/);
    expect(await refused('--mode', 'both')).toMatch(/--mode is own .* or shared/);
    await host.server.faults({ refusesConnections: true });
    expect(await refused('--mode', 'shared')).toMatch(/WhatsApp cannot be reached/);
  });

  test('of an owner who is not on WhatsApp is undone', async () => {
    const host = await LinkedHost.prepare();
    const options = ['--mode', 'own', '--owner', '+15559999999'];
    const link = host.command('link', '--code', `+${assistant.number}`, ...options);
    await enterShownCode(link, host.server);
    await link.exited;
    expect(link.output).toMatch(/\+15559999999 is not on WhatsApp/);
    await host.server.waitState({ isLinked: false });
  });

  test('of the number itself as its owner is refused, and undone', async () => {
    const host = await LinkedHost.prepare();
    const owner = ['--mode', 'own', '--owner', `+${assistant.number}`];
    const link = host.command('link', '--code', `+${assistant.number}`, ...owner);
    await enterShownCode(link, host.server);
    await link.exited;
    expect(link.output).toMatch(/is the number that was linked/);
    await host.server.waitState({ isLinked: false });
  });

  test('that was killed halfway is undone by the next link', async () => {
    const host = await LinkedHost.prepare();
    const args = ['link', '--code', `+${assistant.number}`, '--mode', 'shared'];
    const link = host.command(...args);
    await enterShownCode(link, host.server);
    await host.server.waitState({ isLinked: true, isConnected: false });
    await link.kill();
    const unlink = host.command('unlink');
    await unlink.exited;
    expect(unlink.output).not.toMatch(/could not be told/);
    await host.server.waitState({ isLinked: false });
  });

  test('twice is refused, also while a host runs; unlink removes the keys and keeps the rest', async () => {
    const host = await LinkedHost.start();
    await host.talks('hello');
    const beside = host.command('unlink');
    await beside.exited;
    expect(beside.output).toMatch(/already runs/);
    await host.stop();
    const again = host.command('link', '--mode', 'shared');
    await again.exited;
    expect(again.output).toMatch(/Linked already, as \+15550000001/);
    const unlink = host.command('unlink');
    await unlink.exited;
    expect(unlink.output).toMatch(/Unlinked from \+15550000001/);
    await host.server.waitState({ isLinked: false });
    expect(host.rows('SELECT text FROM messages')).toEqual([{ text: 'hello' }]);
    await host.linkByCode();
    await host.run();
    await host.talks('again');
  });

  test('costs a host without WhatsApp no memory', async () => {
    const host = await LinkedHost.prepare();
    const unlinked = host.command();
    await unlinked.says(/channels {2}terminal/);
    const maps = readFileSync(`/proc/${unlinked.child.pid}/maps`, 'utf8');
    // Baileys loads sharp, whose native library would be mapped.
    expect(maps).not.toMatch(/sharp/);
    await unlinked.kill('SIGTERM');
  });
});

/** Reads the QR code that a terminal shows in half blocks, as a camera would. */
function readQr(output: string): string {
  const lines = output.split('\n').filter((line) => /^[█▀▄ ]{20,}$/.test(line));
  const width = Math.max(...lines.map((line) => line.length));
  const scale = 4;
  const margin = 4;
  const rows = lines.flatMap((line) => {
    const cells = [...line.padEnd(width, '█')];
    return [
      cells.map((cell) => cell === '█' || cell === '▀'),
      cells.map((cell) => cell === '█' || cell === '▄'),
    ];
  });
  const size = { width: (width + 2 * margin) * scale, height: (rows.length + 2 * margin) * scale };
  const pixels = new Uint8ClampedArray(size.width * size.height * 4).fill(255);
  for (const [y, row] of rows.entries())
    for (const [x, isLight] of row.entries())
      if (!isLight)
        for (let dot = 0; dot < scale * scale; dot += 1) {
          const left = (x + margin) * scale + (dot % scale);
          const top = (y + margin) * scale + Math.floor(dot / scale);
          pixels.fill(0, (top * size.width + left) * 4, (top * size.width + left) * 4 + 3);
        }
  const found = decodeQr(pixels, size.width, size.height);
  if (!found) throw new Error(`no QR code in:\n${output}`);
  return found.data;
}

/** The package is CommonJS, but its types describe an ES module. */
const decodeQr: typeof jsQr.default = createRequire(import.meta.url)('jsqr');
