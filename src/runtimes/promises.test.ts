/**
 * What every runtime promises, tested on the one that NANOCLAW_RUNTIME names, or else on bubblewrap.
 * What only bubblewrap does is in bubblewrap.test.ts.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
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
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { defaultLimits } from '../config.ts';
import { detectRuntime, proveSealed, spawnLaunch } from './container-runtime.ts';
import type { ContainerSpec, Runtime } from './container-spec.ts';

const wanted = process.env.NANOCLAW_RUNTIME ?? 'bubblewrap';
const projectDir = resolve(import.meta.dirname, '../..');
const asRoot = process.getuid?.() === 0;
const groupUid = 200_123;
const mebibyte = 1024 * 1024;
/** Differs from that of every other run of these tests. */
const ownInstance = process.pid.toString(16).padStart(8, '0');

let runtime: Runtime;
let dir: string;
let count = 0;

beforeAll(async () => {
  const environment = { ...process.env, ANTHROPIC_API_KEY: 'hunter2', HOME: '/home/of-the-host' };
  runtime = await detectRuntime(wanted, projectDir, environment);
});
afterAll(() => runtime.reap(ownInstance));

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'promises-'));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Options {
  uid?: number;
  instance?: string;
  limits?: Partial<ContainerSpec['limits']>;
  mounts?: ContainerSpec['mounts'];
}

function specOf(
  script: string,
  { uid = groupUid, instance = ownInstance, limits, mounts = [] }: Options,
): ContainerSpec {
  const group = join(dir, `group-${uid}`);
  mkdirSync(group, { recursive: true });
  if (asRoot) chownSync(group, uid, uid);
  count += 1;
  return {
    name: `nanoclaw-${instance}-${process.pid}-${count}`,
    uid,
    mounts: [{ source: group, target: '/workspace/group', readOnly: false }, ...mounts],
    env: { HOME: '/tmp' },
    workDir: '/workspace/group',
    command: ['bash', '-c', script],
    limits: { ...defaultLimits.container, ...limits },
  };
}

/** Runs `script` in a container to its end. */
async function run(script: string, options: Options = {}) {
  const spec = specOf(script, options);
  const child = spawnLaunch(runtime.launch(spec));
  child.stdin.end();
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  await runtime.release(spec.name);
  return { code, stdout, stderr };
}

/** A container that says when it is up, and stays until its standard input ends. */
async function startWaiting(options: Options = {}) {
  const spec = specOf('echo up; sleep 1000 & read -r _; exit 7', options);
  const child = spawnLaunch(runtime.launch(spec));
  await isUp(child);
  return { name: spec.name, ended: once(child, 'exit'), child };
}

async function isUp(child: ChildProcessWithoutNullStreams): Promise<void> {
  let said = '';
  for await (const bytes of child.stdout.iterator({ destroyOnReturn: false })) {
    said += bytes;
    if (said.includes('up')) return;
  }
  throw new Error(`it ended: ${await text(child.stderr)}`);
}

test('it passes the proof', async () => {
  const hidden = [join(projectDir, 'dist'), dir, '/run/docker.sock'];
  await proveSealed(runtime, { limits: defaultLimits.container, hidden });
});

test('the agent is not root, is called agent, and owns what it writes', async () => {
  const { stdout } = await run('id -un; id -u; pwd; echo hi >file; stat -c %U file || id -un');
  expect(stdout).toMatch(/^agent\n[1-9]\d*\n\/workspace\/group\nagent\n$/);
  const owner = asRoot ? groupUid : process.getuid?.();
  expect(statSync(join(dir, `group-${groupUid}`, 'file')).uid).toBe(owner);
});

test('it has no capability, cannot gain any, and its calls are filtered', async () => {
  const { stdout } = await run(
    'grep -E "^(Cap(Inh|Prm|Eff|Bnd)|NoNewPrivs|Seccomp:)" /proc/self/status',
  );
  const filtered = ['NoNewPrivs: 1', 'Seccomp: 2'];
  expect(
    stdout
      .replace(/[\t ]+/g, ' ')
      .trim()
      .split('\n'),
  ).toEqual([
    ...['CapInh', 'CapPrm', 'CapEff', 'CapBnd'].map((name) => `${name}: 0000000000000000`),
    ...(runtime.hasOwnKernel ? ['Seccomp: 0'] : filtered),
  ]);
});

test('it sees only itself: processes, network, names', async () => {
  const script =
    'ls /proc | grep -c "^[0-9]"; tail -n +3 /proc/net/dev | cut -d: -f1; uname -n; grep -v "^#" /etc/resolv.conf; grep -hEv "localhost|ip6-|^fe00|^ff0" /etc/hosts; true';
  const [processes, ...names] = (await run(script)).stdout.trim().split(/\s+/);
  expect(Number(processes)).toBeLessThan(9);
  expect(names).toEqual(['lo', 'nanoclaw']);
});

test('nothing of the host is there but its mounts', async () => {
  const paths = [
    dir,
    projectDir,
    '/run/docker.sock',
    '/var/run/docker.sock',
    process.env.DOCKER_HOST,
  ];
  const script = `for path in ${paths.join(' ').replaceAll('unix://', '')}; do test -e "$path" && echo "$path"; done; true`;
  expect((await run(script)).stdout).toBe('');
});

test('the environment of the host does not reach it, not even through the first process', async () => {
  const { stdout } = await run("env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'");
  expect(stdout).toContain('HOME=/tmp');
  expect(stdout).not.toMatch(/hunter2|of-the-host/);
});

test('nothing is writable but its mounts, /tmp and /dev/shm', async () => {
  const { stdout } = await run(
    'for folder in / /usr /etc /dev /opt /workspace /proc/sys/kernel /sys /usr/local/etc /home /home/agent /var /var/tmp /run /workspace/in; do (: >$folder/x) 2>/dev/null && echo $folder; done; (echo x >/proc/sys/kernel/core_pattern) 2>/dev/null && echo sys; : >/tmp/x && : >/dev/shm/x && : >x && echo end',
  );
  expect(stdout).toBe('end\n');
});

test('/tmp and /dev/shm are bounded', async () => {
  const { stdout } = await run(
    'for folder in /tmp /dev/shm; do head -c 9M /dev/zero >$folder/x; wc -c <$folder/x; done 2>/dev/null',
    { limits: { tmpBytesMax: 4 * mebibyte, shmBytesMax: 8 * mebibyte } },
  );
  expect(stdout).toBe(`${4 * mebibyte}\n${8 * mebibyte}\n`);
});

test('programs can be run from /tmp', async () => {
  const { stdout } = await run('printf "#!/bin/sh\\necho ran\\n" >/tmp/x; chmod +x /tmp/x; /tmp/x');
  expect(stdout).toBe('ran\n');
});

test('a read-only mount stays so', async () => {
  const source = join(dir, 'source');
  mkdirSync(source);
  chmodSync(source, 0o777);
  writeFileSync(join(source, 'file'), 'hello');
  const { stdout } = await run(
    'cat /workspace/in/file; : >/workspace/in/new || mount -o remount,rw,bind /workspace/in',
    { mounts: [{ source, target: '/workspace/in', readOnly: true }] },
  );
  expect(stdout).toBe('hello');
  expect(readdirSync(source)).toEqual(['file']);
});

test.skipIf(!asRoot)('what is mounted below a read-only mount is not writable either', async () => {
  const below = join(dir, 'source', 'below');
  mkdirSync(below, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=777', 'tmpfs', below]);
  try {
    const mounts = [{ source: join(dir, 'source'), target: '/workspace/in', readOnly: true }];
    await run(': >/workspace/in/below/new', { mounts });
    expect(readdirSync(below)).toEqual([]);
  } finally {
    execFileSync('umount', [below]);
  }
});

test('processes are counted by container, and end at the limit', async () => {
  const script = `node -e "
    let count = 0;
    for (let i = 0; i < 200; i += 1)
      child_process.spawn('sleep', ['60'])
        .on('spawn', () => { count += 1; if (count === 200) { console.log('unlimited'); process.exit(); } })
        .on('error', ({ code }) => { console.log(code); process.exit(); });
  "`;
  const { stdout } = await run(script, { limits: { processesMax: 60 } });
  // gVisor counts its own processes, too, and then ends.
  expect(stdout).toBe(runtime.hasOwnKernel ? '' : 'EAGAIN\n');
});

test('files, open files and core dumps are bounded', async () => {
  const { stdout } = await run('ulimit -n; ulimit -f; ulimit -c', {
    limits: { openFilesMax: 512, fileBytesMax: mebibyte },
  });
  expect(stdout).toBe('512\n1024\n0\n');
});

test.skipIf(!asRoot)('memory ends at its limit, and the host does not notice', async () => {
  const { code } = await run('set -o pipefail; head -c 300M /dev/zero | tail >/dev/null', {
    limits: { memoryBytes: 64 * mebibyte },
  });
  expect(code).toBe(137);
});

test('node, bash, git, python, curl, rg and localhost work', async () => {
  const { stdout } = await run(
    'node -p "os.networkInterfaces().lo.some((each) => each.address === process.argv[1])" 127.0.0.1; git init -q . && git status --short && python3 -c "import ssl, json, sqlite3; print(1)"; curl --version | head -c4; echo; rg --version | head -c7; echo; getent hosts localhost | wc -l; date +%Z',
  );
  expect(stdout).toMatch(/^true\n1\ncurl\nripgrep\n1\n\w+\n$/);
});

test('dead processes whose parents are gone are buried', async () => {
  const { stdout } = await run(
    '(true &); while grep -q "^State:.Z" /proc/[0-9]*/status 2>/dev/null; do :; done; echo buried',
  );
  expect(stdout).toBe('buried\n');
});

test.skipIf(!asRoot)(
  'two groups have two uids, and nothing of one is open to the other',
  async () => {
    await run('umask 077; echo mine >note');
    const theirs = {
      source: join(dir, `group-${groupUid}`),
      target: '/workspace/theirs',
      readOnly: true,
    };
    const { stdout, stderr } = await run('cat /workspace/theirs/note', {
      uid: groupUid + 1,
      mounts: [theirs],
    });
    expect(stdout).toBe('');
    expect(stderr).toMatch(/Permission denied/);
  },
);

test('kill ends one container at once and leaves the others', async () => {
  const [one, other] = await Promise.all([startWaiting(), startWaiting()]);
  await runtime.kill(`nanoclaw-${ownInstance}-none`);
  await runtime.kill(one.name);
  await one.ended;
  expect(other.child.exitCode).toBe(null);
  other.child.stdin.end();
  expect(await other.ended).toEqual([7, null]);
});

test('reap ends what carries its own instance, and nothing else', async () => {
  const one = await startWaiting({ instance: 'aaaaaaaa' });
  expect(await runtime.reap('bbbbbbbb')).toBe(0);
  expect(one.child.exitCode).toBe(null);
  expect(await runtime.reap('aaaaaaaa')).toBe(1);
  await one.ended;
  expect(await runtime.reap('aaaaaaaa')).toBe(0);
});

// gVisor shares no pipe with the host that would show the container's end.
test.skipIf(wanted.endsWith('+runsc'))(
  'a container hears when its host is killed, and reaping finds what would not listen',
  async () => {
    const fifo = join(dir, `group-${groupUid}`, 'alive');
    const spec = specOf('exec 7>alive; echo up >&7; cat >/dev/null; echo heard >&7', {});
    execFileSync('mkfifo', ['-m', '666', fifo]);
    const reader = spawn('cat', [fifo]);
    const { file, args, env, feeds } = runtime.launch(spec);
    // The host is another process, so that it can be killed.
    const source = `const { file, args, env, feeds } = JSON.parse(process.argv[1]);
    const stdio = ['pipe', 'pipe', 'pipe', ...feeds.map(() => 'pipe')];
    const child = child_process.spawn(file, args, { env, stdio, detached: true });
    feeds.forEach((feed, index) => child.stdio[3 + index].end(Buffer.from(feed, 'base64')));
    child.stderr.pipe(process.stderr);`;
    const launch = { file, args, env, feeds: feeds.map((feed) => feed.toString('base64')) };
    const host = spawn(process.execPath, ['-e', source, JSON.stringify(launch)], {
      stdio: 'inherit',
    });
    await once(reader.stdout, 'data');
    host.kill('SIGKILL');
    await once(reader, 'exit');
    await runtime.reap(ownInstance);
    expect(await runtime.reap(ownInstance)).toBe(0);
  },
);
