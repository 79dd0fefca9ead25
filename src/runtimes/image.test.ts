/** Whether an image is built. A script in the engine's place writes down what it is asked. */
import { execFile } from 'node:child_process';
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
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadConfig } from '../config.ts';
import { UserError } from '../types.ts';
import * as image from './image.ts';

const projectDir = resolve(import.meta.dirname, '../..');
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

/** The settings are read anew for each call, because tests change them. */
const project = () => loadConfig(process.env, dir);
const isImageSettled = () => image.isImageSettled(project());
const ensureImage = () => image.ensureImage(project());

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
const built = () => calls().findLast((line) => line.startsWith('build'));
/** What a start says of the image. */
async function start(): Promise<string> {
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    if (isImageSettled()) image.remindOfFailure(project());
    else await ensureImage();
    return written.mock.calls.join('');
  } finally {
    written.mockRestore();
  }
}
/** An engine that answers, has the base, and has our image once that is built. */
const engine = `case "$*" in
  info | "image inspect docker"*) exit 0 ;;
  "image inspect"*) cat ${'$'}{0%/*}/labels 2>/dev/null ;;
  build*) echo "$*" | grep -o 'inputs=[0-9a-f]*' >${'$'}{0%/*}/labels ;;
esac`;

test('where no engine is installed, nothing is to be done and nothing is asked', () => {
  vi.stubEnv('PATH', join(dir, 'dist'));
  expect(isImageSettled()).toBe(true);
  expect(calls()).toEqual([]);
});

test('an engine that answers gets the image once, and is not asked again', async () => {
  install('podman', engine);
  expect(isImageSettled()).toBe(false);
  await ensureImage();
  expect(calls()).toContainEqual(
    expect.stringMatching(/^build --tag nanoclaw-agent --build-arg BASE=node:22-slim .*container$/),
  );
  expect(isImageSettled()).toBe(true);
  expect(calls()).toEqual([]);
});

test('an image that is there already is not built', async () => {
  install('docker', engine);
  await ensureImage();
  rmSync(join(dir, 'dist/image'));
  calls();
  await ensureImage();
  expect(
    calls()
      .map((line) => line.split(' ')[0])
      .sort(),
  ).toEqual(['image', 'info']);
  expect(isImageSettled()).toBe(true);
});

test.each(['Dockerfile', 'etc/passwd'])('it is built again when %s changes', async (name) => {
  install('docker', engine);
  await ensureImage();
  writeFileSync(join(dir, 'container', name), '\n# changed\nARG BASE=docker-base\n', { flag: 'a' });
  expect(isImageSettled()).toBe(false);
  calls();
  await ensureImage();
  expect(calls().some((line) => line.startsWith('build'))).toBe(true);
});

test('it is built again when another base is named, and from that', async () => {
  install('docker', engine);
  await ensureImage();
  vi.stubEnv('NANOCLAW_IMAGE_BASE', 'docker-mirror/node');
  expect(isImageSettled()).toBe(false);
  await ensureImage();
  expect(built()).toContain('BASE=docker-mirror/node');
});

test('the base may be named in .env, and an empty one is none', async () => {
  install('docker', engine);
  writeFileSync(join(dir, '.env'), 'NANOCLAW_IMAGE_BASE="docker-mirror/node:22" # ours\n');
  await ensureImage();
  expect(built()).toContain('BASE=docker-mirror/node:22 ');
  vi.stubEnv('NANOCLAW_IMAGE_BASE', '');
  expect(isImageSettled()).toBe(false);
  await ensureImage();
  expect(built()).toMatch(/BASE=node:22-slim /);
});

test('a build that fails is not tried at every start, unless the engine is wanted by name', async () => {
  install('docker', `case "$1" in build) exit 1 ;; "image") test "$3" != --format ;; esac`);
  await ensureImage();
  expect(isImageSettled()).toBe(true);
  vi.stubEnv('NANOCLAW_RUNTIME', 'docker+runsc');
  expect(isImageSettled()).toBe(false);
  await expect(ensureImage()).rejects.toThrow(UserError);
});

test('a build that fails says in one line why, and each start says that it failed', async () => {
  const failing = `echo step 1; echo 'ERROR: no space'; echo 'see the log'; exit 1`;
  install('docker', `case "$1$3" in build*) ${failing} ;; image--format) exit 1 ;; esac`);
  expect(await start()).toMatch(
    /building .*\nnanoclaw: the image of docker was not built \(.*: ERROR: no space\)\nnanoclaw: until .*\n$/,
  );
  calls();
  expect(await start()).toMatch(/^nanoclaw: the image of docker is not up to date.*\n$/);
  expect(calls()).toEqual([]);
  vi.stubEnv('NANOCLAW_RUNTIME', 'bubblewrap');
  expect(await start()).toBe('');
});

test('what a build replaces is removed, and nothing else', async () => {
  install('podman', 'test "$1 $2 $5" != "image inspect nanoclaw-agent"');
  await ensureImage();
  expect(calls().filter((line) => / (rm|prune)/.test(line))).toEqual([
    'image prune --force --filter label=nanoclaw.inputs',
  ]);
});

describe('npm run image', () => {
  const runImage = (args: string[], runtime: string) =>
    new Promise<{ code: unknown; output: string }>((resolve) => {
      const command = [join(projectDir, 'scripts/start.mjs'), 'image', ...args];
      const env = { ...process.env, NANOCLAW_RUNTIME: runtime };
      execFile(process.execPath, command, { env }, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, output: stdout + stderr }),
      );
    });

  test.each([
    [['docker'], '', /takes no arguments.*NANOCLAW_RUNTIME=docker\|podman/],
    [[], 'foo', /NANOCLAW_RUNTIME=foo; only for engines: NANOCLAW_RUNTIME=docker\|podman/],
    [[], 'bubblewrap', /no image is made for NANOCLAW_RUNTIME=bubblewrap/],
  ])('given %j and "%s" says what it takes', async (args, runtime, said) => {
    const { code, output } = await runImage(args, runtime);
    expect(output).toMatch(said);
    expect(code).toBe(1);
    expect(calls()).toEqual([]);
  });

  test('tells in the words of the engine why it cannot be used', async () => {
    install('docker', 'echo Server:; echo "ERROR: permission denied: docker.sock" >&2; exit 1');
    const { code, output } = await runImage([], 'docker');
    expect(output).toMatch(/^docker: ERROR: permission denied: docker\.sock$/m);
    expect(code).toBe(1);
  });
});

test('no image is made when bubblewrap is wanted', () => {
  install('docker', engine);
  vi.stubEnv('NANOCLAW_RUNTIME', 'bubblewrap');
  expect(isImageSettled()).toBe(true);
});
