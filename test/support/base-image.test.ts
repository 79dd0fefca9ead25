/** With scripts in the place of the engine and of what it makes a base from. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

test('a base that is made replaces those of earlier recipes, and nothing else', () => {
  const dir = mkdtempSync(join(tmpdir(), 'base-image-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const install = (name: string, script: string) =>
    writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  install('mmdebstrap', 'for root; do :; done; mkdir -p $root/usr/share/ca-certificates/mozilla');
  install(
    'podman',
    `echo "$@" >>${dir}/calls
case "$1 $2" in
  "image ls") printf '%s\\n' localhost/nanoclaw-base:0a1 x.example/nanoclaw-base:0a3 \\
    nanoclaw-agent:latest '<none>:<none>' ;;
  "image inspect") exit 1 ;;
esac`,
  );
  const program = join(import.meta.dirname, 'base-image.mjs');
  const env = { PATH: `${dir}:/usr/bin:/bin` };
  const base = String(execFileSync(process.execPath, [program, 'podman'], { env, stdio: 'pipe' }));
  expect(base).toMatch(/^nanoclaw-base:[0-9a-f]{12}\n$/);
  const calls = readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n');
  expect(calls[1]).toMatch(/^import \S+\/base\.tar nanoclaw-base:/);
  expect(calls.filter((line) => / (rm|prune)/.test(line))).toEqual([
    'image rm localhost/nanoclaw-base:0a1',
  ]);
});
