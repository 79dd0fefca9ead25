import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultLimits } from '../src/config.ts';
import type { ContainerSpec } from '../src/container-spec.ts';
import { engineArguments, findEngine } from './engines.ts';

const spec: ContainerSpec = {
  name: 'nanoclaw-0a1b2c3d-7',
  uid: 70_001,
  mounts: [
    { source: '/state/groups/main', target: '/workspace/group', readOnly: false },
    { source: '/state/run-7/in', target: '/workspace/ipc/in', readOnly: true },
  ],
  env: { HOME: '/home/agent' },
  workDir: '/workspace/group',
  command: ['node', '/opt/nanoclaw/agent-runner.js'],
  limits: defaultLimits.container,
};

const common = [
  ...['run', '--rm', '--interactive', '--name', 'nanoclaw-0a1b2c3d-7'],
  ...['--network', 'none'],
  ...['--read-only', '--cap-drop', 'ALL', '--user', '70001:70001'],
  ...['--workdir', '/workspace/group', '--cpus', '2', '--memory', '2048M'],
  ...['--ulimit', 'nofile=4096:4096', '--ulimit', 'fsize=1073741824:1073741824'],
  ...['--ulimit', 'core=0:0'],
  ...['--mount', 'type=bind,source=/state/groups/main,target=/workspace/group'],
  ...['--mount', 'type=bind,source=/state/run-7/in,target=/workspace/ipc/in,readonly'],
  ...['--env', 'HOME=/home/agent'],
];
const hardened = [
  ...['--pull', 'never', '--init', '--log-driver', 'none', '--ipc', 'none'],
  ...['--security-opt', 'no-new-privileges', '--memory-swap', '2048M'],
  ...['--pids-limit', '512', '--tmpfs', '/tmp:rw,nosuid,nodev,size=536870912'],
];
const command = ['nanoclaw-agent', 'node', '/opt/nanoclaw/agent-runner.js'];

describe('the command line', () => {
  test('of docker', () => {
    expect(engineArguments('docker', spec)).toEqual([...common, ...hardened, ...command]);
  });

  test('of podman, which would add writable folders of its own', () => {
    const more = ['--read-only-tmpfs=false', '--userns', 'keep-id'];
    expect(engineArguments('podman', spec)).toEqual([...common, ...hardened, ...more, ...command]);
  });

  test("of Apple's container, whose tmpfs takes no size", () => {
    expect(engineArguments('apple-container', spec)).toEqual([
      ...common,
      ...['--tmpfs', '/tmp'],
      ...command,
    ]);
  });
});

describe('an engine', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'engines-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** A program in the engine's place. */
  const install = (name: string, script: string): void => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dir, name), 0o755);
  };
  const find = (name: 'docker' | 'podman' | 'apple-container') =>
    findEngine(name, { PATH: `${dir}:/usr/bin:/bin`, HOME: '/home/me', TOKEN: 'hunter2' });

  test('that is not installed is not found', async () => {
    expect(await find('apple-container')).toBe(undefined);
  });

  test('without our image is not found', async () => {
    install('docker', 'test "$*" != "image inspect nanoclaw-agent"');
    expect(await find('docker')).toBe(undefined);
  });

  test('that never answers is passed over', async () => {
    install('docker', 'exec sleep 1000');
    expect(await find('docker')).toBe(undefined);
  });

  test('is found and gets of the environment only what leads to it', async () => {
    install('docker', 'exit 0');
    const runtime = await find('docker');
    expect(runtime?.describe()).toBe('docker, image nanoclaw-agent');
    expect(runtime?.launch(spec)).toMatchObject({
      file: 'docker',
      env: { PATH: `${dir}:/usr/bin:/bin`, HOME: '/home/me' },
      feeds: [],
    });
    expect(runtime?.launch(spec).env).not.toHaveProperty('TOKEN');
  });

  test('reaps what its listing gives of our instance', async () => {
    install(
      'container',
      `echo "$@" >>${dir}/calls; test "$1" = list && printf 'nanoclaw-0a1b2c3d-7\\nnanoclaw-ffffffff-1\\nother\\nnanoclaw-0a1b2c3d-8\\n'; exit 0`,
    );
    const runtime = await find('apple-container');
    expect(await runtime?.reap('0a1b2c3d')).toBe(2);
    expect(readFileSync(join(dir, 'calls'), 'utf8').split('\n').slice(1)).toEqual([
      'list --all --quiet',
      'delete --force nanoclaw-0a1b2c3d-7 nanoclaw-0a1b2c3d-8',
      '',
    ]);
  });
});
