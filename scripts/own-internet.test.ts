/** The tests' own internet: what it gives them, and what is said where it is not possible. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';
import { needsInternet } from '../test/internet/internet.ts';
import { countSkippedFor } from './counts.mjs';
import { internetComplaint, launcher } from './own-internet.mjs';

test('the reason is told where there can be no namespace', async () => {
  expect(await internetComplaint('darwin')).toMatch(/only Linux/);
  expect(await internetComplaint('linux', '/nowhere')).toMatch(/iproute2/);
});

test('only tests that are skipped for lack of it are counted', () => {
  const skipped = { status: 'skipped', meta: needsInternet.meta };
  const others = [
    { status: 'skipped', meta: {} },
    { status: 'passed', meta: needsInternet.meta },
  ];
  const report = { testResults: [{ assertionResults: [skipped, ...others] }] };
  expect(countSkippedFor('internet', report)).toBe(1);
  expect(countSkippedFor('internet', undefined)).toBe(0);
});

test('tests run with the program, the interfaces and the rights of the user', needsInternet, () => {
  expect(process.execPath).not.toBe(launcher);
  expect(Object.keys(networkInterfaces())).toEqual(['lo']);
  const capabilities = /^CapEff:\s+(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  expect(/[^0]/.test(capabilities ?? '')).toBe(process.getuid?.() === 0);
});

test('its routes are never set in a namespace that is in use', needsInternet, () => {
  const { status, stderr } = spawnSync(launcher, ['--inside', '-e', ''], { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toContain('nobody may cut the machine off');
});
