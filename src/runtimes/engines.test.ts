import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultLimits } from '../config.ts';
import type { ContainerSpec } from './container-spec.ts';
import { type Engine, type EngineName, engineArguments, findEngine } from './engines.ts';

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

const engine: Engine = {
  name: 'docker',
  isRootless: false,
  canLimit: true,
  sealsBelow: true,
  user: undefined,
  projectDir: '/project',
};

/** The words of a command line. */
const words = (line: string) => line.trim().split(/\s+/);

const common = words(`
  run --rm --interactive --name nanoclaw-0a1b2c3d-7 --network none
  --read-only --cap-drop ALL --user 70001:70001 --workdir /workspace/group
  --ulimit nofile=4096:4096 --ulimit fsize=1073741824:1073741824 --ulimit core=0:0
  --mount type=bind,source=/state/groups/main,target=/workspace/group
  --mount type=bind,source=/state/run-7/in,target=/workspace/ipc/in,readonly
  --env HOME=/home/agent`);
const bounds = words('--cpus 2 --memory 2048M');
const moreBounds = words('--memory-swap 2048M --pids-limit 512');
const hardened = words(`
  --pull never --log-driver none --hostname nanoclaw --ipc private --shm-size 67108864
  --security-opt no-new-privileges --security-opt seccomp=/project/dist/seccomp.json
  --tmpfs /tmp:rw,exec,nosuid,nodev,mode=1777,size=536870912
  --mount type=bind,source=/project/container/etc/resolv.conf,target=/etc/resolv.conf,readonly`);
const podmanToo = words(`
  --read-only-tmpfs=false --no-hosts --http-proxy=false
  --security-opt mask=/proc/pressure:/sys --ulimit nproc=4096:4096`);
const dockerToo = words(`
  --env HTTP_PROXY= --env HTTPS_PROXY= --env FTP_PROXY= --env ALL_PROXY= --env NO_PROXY=
  --env http_proxy= --env https_proxy= --env ftp_proxy= --env all_proxy= --env no_proxy=`);
const command = words('nanoclaw-agent node /opt/nanoclaw/agent-runner.js');

describe('the command line', () => {
  test('of docker, which would add the proxies of its own settings', () => {
    expect(engineArguments(engine, spec)).toEqual(
      [common, bounds, moreBounds, hardened, dockerToo, command].flat(),
    );
  });

  test('of podman, which would add writable folders, names and limits of its own', () => {
    expect(engineArguments({ ...engine, name: 'podman' }, spec)).toEqual(
      [common, bounds, moreBounds, hardened, podmanToo, command].flat(),
    );
  });

  test.each(['docker+runsc', 'podman+runsc'] as const)('of %s names the runtime', (name) => {
    const line = engineArguments({ ...engine, name }, spec).join(' ');
    expect(line).toContain(' --runtime runsc ');
    expect(line.includes('--no-hosts')).toBe(name === 'podman+runsc');
  });

  test('of an engine that cannot limit does not ask for limits that it would only warn about', () => {
    const line = engineArguments({ ...engine, canLimit: false }, spec).join(' ');
    expect(line).not.toMatch(/--memory|--cpus|--pids-limit/);
  });

  test('where the host is not root, agents are the host: to podman by keep-id', () => {
    const plain = { ...engine, user: { uid: 1001, gid: 1002 } };
    expect(engineArguments(plain, spec).join(' ')).toContain(' --user 1001:1002 ');
    expect(engineArguments(plain, spec).join(' ')).not.toContain('keep-id');
    const rootless: Engine = { ...plain, name: 'podman', isRootless: true };
    expect(engineArguments(rootless, spec).join(' ')).toContain(' --userns keep-id ');
  });

  test('leaves out what is mounted below, where it would be writable', () => {
    const line = engineArguments({ ...engine, sealsBelow: false }, spec).join(' ');
    expect(line).toContain('target=/workspace/ipc/in,readonly,bind-nonrecursive=true ');
    expect(line).toContain('target=/workspace/group ');
  });

  test('lets a comma or a quote in a path mean nothing', () => {
    const mounts = [{ source: '/a,readonly=false/"b"', target: '/m', readOnly: true }];
    expect(engineArguments(engine, { ...spec, mounts })).toContain(
      'type=bind,"source=/a,readonly=false/""b""",target=/m,readonly',
    );
  });

  test("of Apple's container, whose tmpfs takes no size", () => {
    expect(engineArguments({ ...engine, name: 'apple-container' }, spec)).toEqual(
      [common, bounds, '--tmpfs', '/tmp', command].flat(),
    );
  });
});

describe('an engine', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'engines-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** A script in the engine's place. */
  const install = (name: string, script: string): void => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dir, name), 0o755);
  };
  const find = async (name: EngineName) => {
    const env = { PATH: `${dir}:/usr/bin:/bin`, HOME: '/home/me', TOKEN: 'hunter2' };
    const { runtime } = await findEngine(name, '/project', env);
    return typeof runtime === 'string' ? { reason: runtime } : runtime;
  };
  const docker = { ServerVersion: '28.1.0', MemoryLimit: true, SecurityOptions: [], Runtimes: {} };
  const podman = { host: { cgroupVersion: 'v2', security: { rootless: false } } };
  /** An engine that has our image and answers `info` with these facts. */
  const installEngine = (name: string, info: object): void =>
    install(name, `test "$1" != info || echo '${JSON.stringify(info)}'`);

  test('that is not installed is not found', async () => {
    expect(await find('apple-container')).toEqual({
      reason: 'it is not installed, or not running',
    });
  });

  test('that does not let us in is not found, in its own words', async () => {
    install('docker', 'echo "WARNING: old" >&2; echo "permission denied: docker.sock" >&2; exit 1');
    expect(await find('docker')).toEqual({ reason: 'it says "permission denied: docker.sock"' });
  });

  test('without our image is not found', async () => {
    install('docker', 'test "$1 $2" != "image inspect"');
    expect(await find('docker')).toEqual({
      reason: 'it has no image nanoclaw-agent: run npm run image',
    });
  });

  test('that never answers is passed over', async () => {
    install('docker', 'exec sleep 1000');
    expect(await find('docker')).toEqual({ reason: 'it is not installed, or not running' });
  });

  test('is found and gets of the environment only what leads to it', async () => {
    installEngine('docker', docker);
    const runtime = await find('docker');
    expect(runtime).toMatchObject({ name: 'docker', hasOwnKernel: false });
    if ('reason' in runtime) return;
    expect(runtime.describe()).toBe('docker, image nanoclaw-agent');
    expect(runtime.launch(spec)).toMatchObject({
      file: 'docker',
      env: { PATH: `${dir}:/usr/bin:/bin`, HOME: '/home/me' },
      feeds: [],
    });
    expect(runtime.launch(spec).env).not.toHaveProperty('TOKEN');
    expect(runtime.launch(spec).args.join(' ')).not.toContain('bind-nonrecursive');
  });

  test('of an age that leaves mounts below read-only ones writable is told to leave them out', async () => {
    installEngine('docker', { ...docker, ServerVersion: '20.10.24+dfsg1' });
    const runtime = await find('docker');
    if ('reason' in runtime) throw new Error(runtime.reason);
    expect(runtime.launch(spec).args.join(' ')).toContain('bind-nonrecursive');
  });

  test.each([
    ['docker without root', 'docker', { ...docker, SecurityOptions: ['name=rootless'] }, /podman/],
    ['docker without gVisor', 'docker+runsc', docker, /runsc/],
    ['podman by the name of docker', 'docker', podman, /podman/],
  ] as const)('%s is refused with a reason', async (_, name, info, reason) => {
    installEngine('docker', info);
    expect(await find(name)).toEqual({ reason: expect.stringMatching(reason) });
  });

  test('that cannot limit memory says so', async () => {
    installEngine('podman', { host: { cgroupVersion: 'v1', security: { rootless: true } } });
    const runtime = await find('podman');
    if ('reason' in runtime) throw new Error(runtime.reason);
    expect(runtime.describe()).toMatch(/^podman, image nanoclaw-agent, with no limit on memory/);
    expect(runtime.launch(spec).args).toContain('keep-id');
  });

  test('reaps what its listing gives of our instance', async () => {
    install(
      'container',
      `echo "$@" >>${dir}/calls; test "$1" = delete && touch ${dir}/gone; test "$1" = list && ! test -e ${dir}/gone && printf 'nanoclaw-0a1b2c3d-7\nnanoclaw-ffffffff-1\nother\nnanoclaw-0a1b2c3d-8\n'; exit 0`,
    );
    const runtime = await find('apple-container');
    if ('reason' in runtime) throw new Error(runtime.reason);
    expect(await runtime.reap('0a1b2c3d')).toBe(2);
    expect(readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n').slice(2)).toEqual([
      'list --all --quiet',
      'delete --force nanoclaw-0a1b2c3d-7 nanoclaw-0a1b2c3d-8',
      'list --all --quiet',
    ]);
  });
});
