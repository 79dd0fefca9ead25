import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { defaultLimits } from '../config.ts';
import { openBubblewrap } from './bubblewrap.ts';
import type { ContainerSpec } from './container-spec.ts';

const projectDir = resolve(import.meta.dirname, '../..');
const asRoot = process.getuid?.() === 0;
const plainUid = 65_534;
const groupUid = 70_123;
const mebibyte = 1024 * 1024;
/** Differs from that of every other run of these tests. */
const ownInstance = process.pid.toString(16).padStart(8, '0');

/** A host in a process of its own, which may be another user and may be killed. */
const hostSource = `
  import { openBubblewrap } from './bubblewrap.ts';
  import { spawnLaunch } from './container-runtime.ts';
  const { projectDir, spec } = JSON.parse(process.argv[2]);
  const runtime = openBubblewrap(projectDir);
  const child = spawnLaunch(runtime.launch(spec));
  process.stdin.pipe(child.stdin);
  child.stdout.pipe(process.stdout);
  child.stderr.pipe(process.stderr);
  child.on('close', async (code) => {
    await runtime.release(spec.name);
    process.exit(code ?? 128);
  });`;

let shared: string;
let dir: string;
let count = 0;

beforeAll(async () => {
  shared = mkdtempSync(join(tmpdir(), 'bubblewrap-'));
  chmodSync(shared, 0o755);
  await build({
    stdin: { contents: hostSource, resolveDir: import.meta.dirname },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(shared, 'host.mjs'),
  });
  for (const path of ['container/etc', 'dist/seccomp.bpf'])
    cpSync(join(projectDir, path), join(shared, path), { recursive: true });
});
afterAll(async () => {
  await openBubblewrap(projectDir).reap(ownInstance);
  rmSync(shared, { recursive: true, force: true });
});

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'bubblewrap-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Options {
  env?: Record<string, string>;
  hostEnv?: Record<string, string>;
  limits?: Partial<ContainerSpec['limits']>;
  mounts?: ContainerSpec['mounts'];
  instance?: string;
  node?: string;
}

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function specOf(script: string, plain: boolean, options: Options): ContainerSpec {
  const group = join(dir, 'group');
  mkdirSync(group, { recursive: true });
  if (asRoot) chownSync(group, plain ? plainUid : groupUid, plain ? plainUid : groupUid);
  if (asRoot && plain) chownSync(dir, plainUid, plainUid);
  const instance = options.instance ?? ownInstance;
  count += 1;
  return {
    name: `nanoclaw-${instance}-${process.pid}-${count}`,
    uid: groupUid,
    mounts: [
      { source: group, target: '/workspace/group', readOnly: false },
      ...(options.mounts ?? []),
    ],
    env: options.env ?? {},
    workDir: '/workspace/group',
    command: ['bash', '-c', script],
    limits: { ...defaultLimits.container, ...options.limits },
  };
}

/** Starts a host, as root or as a plain user, that runs `script` in a container. */
function startHost(
  script: string,
  plain: boolean,
  options: Options,
): ChildProcessWithoutNullStreams {
  const spec = specOf(script, plain, options);
  const identity = plain && asRoot ? { uid: plainUid, gid: plainUid } : {};
  return spawn(
    options.node ?? process.execPath,
    [join(shared, 'host.mjs'), JSON.stringify({ projectDir: shared, spec })],
    { cwd: '/', env: { PATH: process.env.PATH, ...options.hostEnv }, ...identity },
  );
}

async function run(script: string, plain: boolean, options: Options = {}): Promise<Ended> {
  const host = startHost(script, plain, options);
  host.stdin.end();
  const [stdout, stderr, [code]] = await Promise.all([
    text(host.stdout),
    text(host.stderr),
    once(host, 'close'),
  ]);
  return { code, stdout, stderr };
}

/** Resolves when no process that opened the pipe is left of a container. */
function openPipe(): { up: Promise<unknown>; gone: Promise<unknown> } {
  const group = join(dir, 'group');
  mkdirSync(group, { recursive: true });
  execFileSync('mkfifo', ['-m', '666', join(group, 'alive')]);
  const reader = spawn('cat', [join(group, 'alive')]);
  return { up: once(reader.stdout, 'data'), gone: once(reader, 'exit') };
}
const stayAlive = 'exec 7>alive; echo up >&7; sleep 1000 & sleep 1001';

const hosts = asRoot
  ? [
      { host: 'root', plain: false },
      { host: 'a plain user', plain: true },
    ]
  : [{ host: 'a plain user', plain: true }];

describe.each(hosts)('under a host that is $host', ({ plain }) => {
  test('the agent is uid 1000, called agent, and owns what it writes', async () => {
    const { stdout } = await run('id -un; id -u; pwd; echo hi >file; stat -c %U file', plain);
    expect(stdout).toBe('agent\n1000\n/workspace/group\nagent\n');
    const owner = asRoot ? (plain ? plainUid : groupUid) : process.getuid?.();
    expect(statSync(join(dir, 'group/file')).uid).toBe(owner);
  });

  test('it has no capability, cannot gain any, and its calls are filtered', async () => {
    const { stdout } = await run('grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status', plain);
    const values = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/).join(' '));
    expect(values).toEqual([
      'CapInh: 0000000000000000',
      'CapPrm: 0000000000000000',
      'CapEff: 0000000000000000',
      'CapBnd: 0000000000000000',
      'CapAmb: 0000000000000000',
      'NoNewPrivs: 1',
      'Seccomp: 2',
    ]);
  });

  test('no id inside is the root of the host', async () => {
    const { stdout } = await run('stat -c %u /usr /usr/bin/env; cat /proc/self/uid_map', plain);
    expect(stdout).toMatch(/^65534\n65534\n\s+1000\s+\d+\s+1\n$/);
  });

  test('it sees only itself: processes, network, host name', async () => {
    const { stdout } = await run(
      'ls /proc | grep -c "^[0-9]"; tail -n +3 /proc/net/dev | cut -d: -f1; uname -n',
      plain,
    );
    const [processes, network, name] = stdout.split('\n').map((line) => line.trim());
    expect(Number(processes)).toBeLessThan(8);
    expect([network, name]).toEqual(['lo', 'nanoclaw']);
  });

  test('the folders of the host are not there, nor the stage from which it was built', async () => {
    const { stdout } = await run(
      `for path in /root /home /var /run /sys /srv /stage /mnt /boot ${dir} /etc/shadow /etc/resolv.conf; do test -e "$path" && echo "$path"; done; true`,
      plain,
    );
    expect(stdout).toBe('');
  });

  test('the environment of the host does not reach it, not even through pid 1', async () => {
    const { stdout } = await run("env; cat /proc/*/environ | tr '\\0' '\\n'", plain, {
      hostEnv: { ANTHROPIC_API_KEY: 'hunter2' },
    });
    expect(stdout).toContain('NANOCLAW_CONTAINER=');
    expect(stdout).not.toContain('hunter2');
  });

  test('its environment and mounts show in no command line, inside or on the host', async () => {
    const script = "cat /proc/1/cmdline | tr '\\0' '\\n'; echo; echo ready; read -r _; echo $TOKEN";
    const host = startHost(script, plain, { env: { TOKEN: 'hunter3' } });
    let output = '';
    host.stdout.setEncoding('utf8');
    for await (const part of host.stdout) {
      output += part;
      if (!output.includes('ready')) continue;
      if (!output.includes('hunter3')) expect(commandLines(host.pid)).not.toContain('hunter3');
      host.stdin.end('\n');
    }
    expect(output).toMatch(/bwrap\n--args\n\d\n/);
    expect(output).not.toContain(dir);
    expect(output.match(/hunter3/g)).toHaveLength(1);
  });

  test('nothing is writable but its mounts, /tmp and /dev/shm', async () => {
    const { stdout } = await run(
      'for folder in / /usr /etc /dev /opt /workspace /proc/sys/kernel /usr/local/etc /home /var /run; do (: >$folder/x) 2>/dev/null && echo $folder; done; echo x >/proc/sys/kernel/core_pattern && echo sys; : >/tmp/x && : >/dev/shm/x && : >x && echo end',
      plain,
    );
    expect(stdout).toBe('end\n');
  });

  test('settings of the kernel are read-only, whoever asks', async () => {
    const { stdout } = await run('grep " /proc/sys " /proc/self/mountinfo', plain);
    expect(stdout).toMatch(/ \/proc\/sys ro,/);
  });

  test('/tmp and /dev/shm are bounded', async () => {
    const { stdout } = await run(
      'for folder in /tmp /dev/shm; do head -c 3M /dev/zero >$folder/x; stat -c %s $folder/x; done',
      plain,
      { limits: { tmpBytesMax: mebibyte, shmBytesMax: 2 * mebibyte } },
    );
    expect(stdout).toBe(`${mebibyte}\n${2 * mebibyte}\n`);
  });

  test('a read-only mount stays so', async () => {
    const source = join(dir, 'source');
    mkdirSync(source);
    chmodSync(source, 0o777);
    writeFileSync(join(source, 'file'), 'hello');
    const { stdout } = await run(
      'cat /workspace/in/file; : >/workspace/in/new || mount -o remount,rw,bind /workspace/in',
      plain,
      { mounts: [{ source, target: '/workspace/in', readOnly: true }] },
    );
    expect(stdout).toBe('hello');
    expect(readdirSync(source)).toEqual(['file']);
  });

  test('processes are counted by container, and end at the limit', async () => {
    const script = `node -e "
      for (let i = 0; i < 100; i += 1)
        child_process.spawn('sleep', ['60']).on('error', ({ code }) => { console.log(code); process.exit(); });
      setTimeout(() => process.exit(), 1000);
    "`;
    const { stdout } = await run(script, plain, { limits: { processesMax: 40 } });
    expect(stdout).toBe('EAGAIN\n');
  });

  test('what the same uid runs on the host leaves its share of processes alone', async () => {
    const uid = plain ? plainUid : groupUid;
    const identity = asRoot ? { uid, gid: uid } : {};
    const others = Array.from({ length: 40 }, () => spawn('sleep', ['100'], identity));
    const { stdout } = await run('true; echo fine', plain, { limits: { processesMax: 30 } });
    for (const other of others) other.kill('SIGKILL');
    expect(stdout).toBe('fine\n');
  });

  test('files, open files and core dumps are bounded', async () => {
    const { stdout } = await run('ulimit -n; ulimit -f; ulimit -c', plain, {
      limits: { openFilesMax: 512, fileBytesMax: mebibyte },
    });
    expect(stdout).toBe('512\n1024\n0\n');
  });

  test('node, bash, git and localhost work', async () => {
    const { stdout } = await run(
      'node -p "os.networkInterfaces().lo[0].address"; git init -q . && git status --short && getent hosts localhost | wc -l; date +%Z',
      plain,
    );
    expect(stdout).toMatch(/^127\.0\.0\.1\n1\n\w+\n$/);
  });

  test('files that the host was started with do not come in', async () => {
    const secret = join(dir, 'secret');
    writeFileSync(secret, 'hunter4');
    chmodSync(secret, 0o644);
    chmodSync(dir, 0o755);
    const starter = join(dir, 'node');
    writeFileSync(starter, `#!/bin/bash\nexec 200<${secret}\nexec ${process.execPath} "$@"\n`);
    chmodSync(starter, 0o755);
    const { stdout } = await run('ls /proc/self/fd; cat <&200', plain, { node: starter });
    expect(stdout).toBe('0\n1\n2\n3\n');
  });

  test('it dies at once with a host that is killed, all of it', async () => {
    const pipe = openPipe();
    const host = startHost(stayAlive, plain, {});
    await pipe.up;
    host.kill('SIGKILL');
    await pipe.gone;
  });
});

/** Command lines of all the processes below `pid`. */
function commandLines(pid: number | undefined): string {
  const tree = execFileSync('ps', ['-eo', 'pid=,ppid=,args=', '-ww'], { encoding: 'utf8' });
  const rows = tree
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const family = new Set([String(pid)]);
  for (const [child, parent] of rows)
    if (child !== undefined && family.has(parent ?? '')) family.add(child);
  family.delete(String(pid));
  return rows
    .filter(([child]) => family.has(child ?? ''))
    .map((row) => row.join(' '))
    .join('\n');
}

describe.skipIf(!asRoot)('under a host that is root', () => {
  test('two groups have two uids, and nothing of one is open to the other', async () => {
    await run('umask 077; echo mine >note', false);
    const theirs = { source: join(dir, 'group'), target: '/workspace/theirs', readOnly: true };
    const spec = specOf('cat /workspace/theirs/note', false, { mounts: [theirs] });
    mkdirSync(join(dir, 'other'));
    chownSync(join(dir, 'other'), groupUid + 1, groupUid + 1);
    const mounts = [
      { source: join(dir, 'other'), target: '/workspace/group', readOnly: false },
      theirs,
    ];
    const payload = { projectDir: shared, spec: { ...spec, uid: groupUid + 1, mounts } };
    const other = spawn(process.execPath, [join(shared, 'host.mjs'), JSON.stringify(payload)]);
    expect(await text(other.stderr)).toMatch(/Permission denied/);
  });

  test('memory ends at its limit, and the host does not notice', async () => {
    const { code } = await run('set -o pipefail; head -c 300M /dev/zero | tail >/dev/null', false, {
      limits: { memoryBytes: 64 * mebibyte },
    });
    expect(code).toBe(137);
  });

  test('no cgroup of it is left', async () => {
    await run('true', false);
    const left = execFileSync('find', [
      '/sys/fs/cgroup',
      '-name',
      `nanoclaw-${ownInstance}-${process.pid}-${count}`,
    ]);
    expect(left.toString()).toBe('');
  });

  test('settings below /usr/local/etc are hidden', async () => {
    const secret = '/usr/local/etc/nanoclaw-test';
    writeFileSync(secret, 'hunter5');
    try {
      const { stdout } = await run('ls -A /usr/local/etc; ls -d /usr/local/etc', false);
      expect(stdout).toBe('/usr/local/etc\n');
    } finally {
      rmSync(secret);
    }
  });

  test("node comes along from wherever the host's lies", async () => {
    const own = join(dir, 'node');
    copyFileSync(process.execPath, own);
    chmodSync(own, 0o755);
    const { stdout } = await run('node -p process.execPath', false, { node: own });
    expect(stdout).toBe('/opt/node/bin/node\n');
  });

  test('kill ends one container at once and leaves the others', async () => {
    const runtime = openBubblewrap(projectDir);
    const pipe = openPipe();
    const host = startHost(stayAlive, false, { instance: 'aaaaaaaa' });
    const exited = once(host, 'exit');
    await pipe.up;
    await runtime.kill(`nanoclaw-aaaaaaaa-${process.pid}`);
    expect(host.exitCode).toBe(null);
    await runtime.kill(`nanoclaw-aaaaaaaa-${process.pid}-${count}`);
    await pipe.gone;
    await exited;
  });

  test('reap ends what carries its own instance, and nothing else', async () => {
    const runtime = openBubblewrap(projectDir);
    const pipe = openPipe();
    const host = startHost(stayAlive, false, { instance: 'aaaaaaaa' });
    const exited = once(host, 'exit');
    await pipe.up;
    expect(await runtime.reap('bbbbbbbb')).toBe(0);
    expect(host.exitCode).toBe(null);
    expect(await runtime.reap('aaaaaaaa')).toBe(1);
    await pipe.gone;
    await exited;
    expect(await runtime.reap('aaaaaaaa')).toBe(0);
  });
});
