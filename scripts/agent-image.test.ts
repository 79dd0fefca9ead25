/** Whether an image is built, with a program in the engine's place that writes down what it is asked. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ensureImage, isImageSettled } from './agent-image.mjs';
import { SetupError } from './run.mjs';

const projectDir = resolve(import.meta.dirname, '..');
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'agent-image-'));
  mkdirSync(join(dir, 'dist'));
  cpSync(join(projectDir, 'container'), join(dir, 'container'), { recursive: true });
  vi.stubEnv('PATH', `${dir}:/usr/bin:/bin`);
  vi.stubEnv('NANOCLAW_RUNTIME', '');
  // No engine of this machine is asked.
  install('docker', 'exit 1');
  install('podman', 'exit 1');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

function install(name: string, script: string): void {
  writeFileSync(join(dir, name), `#!/bin/sh\necho "$@" >>${dir}/calls\n${script}\n`);
  chmodSync(join(dir, name), 0o755);
}
const calls = (): string[] => {
  const path = join(dir, 'calls');
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  rmSync(path, { force: true });
  return lines;
};
/** Answers, has the base, and has our image once it was built. */
const engine = `case "$*" in
  info | "image inspect docker"*) exit 0 ;;
  "image inspect"*) cat ${'$'}{0%/*}/labels 2>/dev/null ;;
  build*) echo "$*" | grep -o 'inputs=[0-9a-f]*' >${'$'}{0%/*}/labels ;;
esac`;

test('where no engine is installed, nothing is to be done and nothing is asked', () => {
  vi.stubEnv('PATH', join(dir, 'dist'));
  expect(isImageSettled(dir)).toBe(true);
  expect(calls()).toEqual([]);
});

test('an engine that answers gets the image once, and is not asked again', async () => {
  install('podman', engine);
  expect(isImageSettled(dir)).toBe(false);
  await ensureImage(dir);
  expect(calls()).toContainEqual(
    expect.stringMatching(/^build --tag nanoclaw-agent --build-arg BASE=node:22-slim .*container$/),
  );
  expect(isImageSettled(dir)).toBe(true);
  expect(calls()).toEqual([]);
});

test('an image that is there already is not built', async () => {
  install('docker', engine);
  await ensureImage(dir);
  rmSync(join(dir, 'dist/image'));
  calls();
  await ensureImage(dir);
  expect(calls().map((line) => line.split(' ')[0])).toEqual(['info', 'image']);
  expect(isImageSettled(dir)).toBe(true);
});

test.each(['Dockerfile', 'etc/passwd'])('it is built again when %s changes', async (name) => {
  install('docker', engine);
  await ensureImage(dir);
  writeFileSync(join(dir, 'container', name), '\n# changed\nARG BASE=docker-base\n', { flag: 'a' });
  expect(isImageSettled(dir)).toBe(false);
  calls();
  await ensureImage(dir);
  expect(calls().some((line) => line.startsWith('build'))).toBe(true);
});

test('it is built again when another base is named, and from that', async () => {
  install('docker', engine);
  await ensureImage(dir);
  vi.stubEnv('NANOCLAW_IMAGE_BASE', 'docker-mirror/node');
  expect(isImageSettled(dir)).toBe(false);
  await ensureImage(dir);
  expect(calls().at(-1)).toContain('BASE=docker-mirror/node');
});

test('the base may be named in .env, and an empty one is none', async () => {
  install('docker', engine);
  writeFileSync(join(dir, '.env'), 'NANOCLAW_IMAGE_BASE="docker-mirror/node:22" # ours\n');
  await ensureImage(dir);
  expect(calls().at(-1)).toContain('BASE=docker-mirror/node:22 ');
  vi.stubEnv('NANOCLAW_IMAGE_BASE', '');
  expect(isImageSettled(dir)).toBe(false);
  await ensureImage(dir);
  expect(calls().at(-1)).toMatch(/BASE=node:22-slim /);
});

test('a build that fails is not tried at every start, unless the engine is wanted by name', async () => {
  install('docker', `case "$1" in build) exit 1 ;; "image") test "$3" != --format ;; esac`);
  await ensureImage(dir);
  expect(isImageSettled(dir)).toBe(true);
  vi.stubEnv('NANOCLAW_RUNTIME', 'docker+runsc');
  expect(isImageSettled(dir)).toBe(false);
  await expect(ensureImage(dir)).rejects.toThrow(SetupError);
});

test('no image is made when bubblewrap is wanted', () => {
  install('docker', engine);
  vi.stubEnv('NANOCLAW_RUNTIME', 'bubblewrap');
  expect(isImageSettled(dir)).toBe(true);
});
