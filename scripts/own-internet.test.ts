/** The tests' own internet: what it gives them, and what is said where it is not possible. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { needsInternet } from '../test/internet/internet.ts';
import { countSkippedFor } from './counts.mjs';
import { internetComplaint, launcher } from './own-internet.mjs';
import { projectDir } from './setup.mjs';

test('the reason is told where there can be no namespace', async () => {
  expect(await internetComplaint('darwin')).toMatch(/only Linux/);
  expect(await internetComplaint('linux', '/nowhere')).toMatch(/iproute2/);
});

test.runIf(process.getuid?.() === 0)('what it needs is installed through apt', () => {
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-ip-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const apt = `#!/bin/sh
    PATH=/usr/bin:/bin; here=$(dirname "$0"); echo "$*" >> "$here/log"
    case "$*" in
      *update) touch "$here/updated" ;;
      *) [ -e "$here/updated" ] && cp /bin/true "$here/ip" ;;
    esac`;
  writeFileSync(join(dir, 'apt-get'), apt, { mode: 0o755 });
  const script = "import('./scripts/own-internet.mjs').then(({ ensureIp }) => ensureIp())";
  const ensure = () =>
    spawnSync(process.execPath, ['-e', script], {
      cwd: projectDir,
      env: { PATH: dir },
      encoding: 'utf8',
    });
  expect(ensure().stderr).toContain('installing iproute2');
  const log = readFileSync(join(dir, 'log'), 'utf8').trim().split('\n');
  expect(log.map((line) => line.split(' ').at(-1))).toEqual(['iproute2', 'update', 'iproute2']);
  expect(ensure().stderr).toBe('');
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
