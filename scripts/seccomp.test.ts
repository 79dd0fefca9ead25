import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from 'vitest';
import { openBubblewrap } from '../runtimes/bubblewrap.ts';
import { defaultLimits } from '../src/config.ts';
import { spawnLaunch } from '../src/container-runtime.ts';
import type { Mount } from '../src/container-spec.ts';
import { seccompFilter } from './seccomp.mjs';

const projectDir = resolve(import.meta.dirname, '..');
const dir = mkdtempSync(join(tmpdir(), 'seccomp-'));
chmodSync(dir, 0o777);
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let count = 0;

/** Runs a program in a real container, and gives what it prints. */
async function inside(command: string[], mounts: Mount[] = []): Promise<string> {
  const runtime = openBubblewrap(projectDir);
  count += 1;
  const name = `nanoclaw-ffffffff-${process.pid}-${count}`;
  const child = spawnLaunch(
    runtime.launch({
      name,
      uid: 65_534,
      mounts: [{ source: dir, target: '/workspace/group', readOnly: false }, ...mounts],
      env: { HOME: '/tmp' },
      workDir: '/workspace/group',
      command,
      limits: defaultLimits.container,
    }),
  );
  child.stdin.end();
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await runtime.release(name);
  return out + errors;
}

/** One system call, made by python without the C library's help; prints what came of it. */
const call = (numbers: { x64: number; arm64: number }, ...args: (number | string)[]) =>
  inside([
    'python3',
    '-c',
    `import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
args = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in [${args
      .map((arg) => (typeof arg === 'string' ? `b'${arg}'` : arg))
      .join(', ')}]]
done = libc.syscall(ctypes.c_long(${process.arch === 'arm64' ? numbers.arm64 : numbers.x64}), *args)
print('done' if done >= 0 else os.strerror(ctypes.get_errno()))`,
  ]).then((output) => output.trim());

const python = (code: string) => inside(['python3', '-c', code]).then((output) => output.trim());
const refused = 'Operation not permitted';
const missing = 'Function not implemented';

describe('refuses', () => {
  test.each([
    ['a user namespace', 0x10000000],
    ['a user namespace among other flags', 0x10000000 | 0x200],
  ])('unshare of %s', async (_, flags) => {
    expect(await call({ x64: 272, arm64: 97 }, flags)).toBe(refused);
  });

  test('clone with a user namespace', async () => {
    expect(await call({ x64: 56, arm64: 220 }, 0x10000000 | 17, 0, 0, 0, 0)).toBe(refused);
  });

  test.each([['clone3', { x64: 435, arm64: 435 }]])(
    '%s as if the kernel lacked it, so that an older call is used',
    async (_, numbers) => {
      expect(await call(numbers, 0, 0, 0, 0)).toBe(missing);
    },
  );

  test.each([
    ['io_uring_setup', { x64: 425, arm64: 425 }],
    ['keyctl', { x64: 250, arm64: 219 }],
    ['add_key', { x64: 248, arm64: 217 }],
    ['request_key', { x64: 249, arm64: 218 }],
    ['ptrace', { x64: 101, arm64: 117 }],
    ['bpf', { x64: 321, arm64: 280 }],
    ['perf_event_open', { x64: 298, arm64: 241 }],
    ['userfaultfd', { x64: 323, arm64: 282 }],
    ['pivot_root', { x64: 155, arm64: 41 }],
    ['fsopen', { x64: 430, arm64: 430 }],
  ])('%s', async (_, numbers) => {
    expect(await call(numbers, 1, 0, 0, 0, 0)).toBe(refused);
  });

  test('to mount and to unmount', async () => {
    expect(await call({ x64: 165, arm64: 40 }, 'tmpfs', '/tmp', 'tmpfs', 0, 0)).toBe(refused);
    expect(await call({ x64: 166, arm64: 39 }, '/tmp', 0)).toBe(refused);
  });

  test.each([
    ['vsock', 40],
    ['packet', 17],
    ['the crypto interface', 38],
    ['bluetooth', 31],
    ['tipc', 30],
    ['can', 29],
  ])('sockets of the family %s', async (_, family) => {
    const code = `import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
  try: socket.socket(${family}, kind); print('open')
  except OSError as error: print(error.strerror)`;
    expect(await python(code)).toBe(Array(4).fill(refused).join('\n'));
  });

  test('a pair of sockets of an unusual family', async () => {
    expect(await call({ x64: 53, arm64: 199 }, 30, 1, 0, 0)).toBe(refused);
  });

  test('devices', async () => {
    const code = `import os
try: os.mknod('device', 0o020666, os.makedev(1, 5)); print('made')
except OSError as error: print(error.strerror)`;
    expect(await python(code)).toBe(refused);
  });

  test.skipIf(process.arch !== 'x64')('the numbers of the x32 interface', async () => {
    expect(await call({ x64: 0x40000000 + 39, arm64: 0 })).toBe(refused);
  });

  test.skipIf(process.arch !== 'x64')('32-bit calls, with death', async () => {
    // mov eax, 20 (getpid); int 0x80; ret
    const code = `import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')
print('before', flush=True)
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print('after')`;
    const output = await inside(['bash', '-c', 'python3 -c "$0"; echo $?', code]);
    expect(output).toMatch(/^before\n159\n/);
  });
});

describe('allows', () => {
  test('pipes, ordinary modes, threads, sockets and lists of interfaces', async () => {
    const code = `import os, socket, threading
open('ordinary', 'w').close()
os.chmod('ordinary', 0o755)
os.mkfifo('pipe')
threading.Thread(target=lambda: print('thread')).start()
socket.socketpair()
server = socket.create_server(('127.0.0.1', 0))
socket.create_connection(server.getsockname())
socket.create_server(('::1', 0), family=socket.AF_INET6)
print([name for _, name in socket.if_nameindex()])`;
    expect(await python(code)).toBe("thread\n['lo']");
  });

  test('git', async () => {
    const script = `git init -q repo && cd repo && echo a >a && git add a &&
      git -c user.name=a -c user.email=a@b commit -qm one && git log --format=%s`;
    expect(await inside(['bash', '-c', script])).toBe('one\n');
  });

  test('node with files, processes and workers', async () => {
    const script = `const { Worker } = require('node:worker_threads');
      fs.writeFileSync('node', 'x'); fs.promises.readFile('node', 'utf8').then((text) => {
        const child = child_process.execFileSync('echo', ['child']).toString().trim();
        new Worker("console.log('worker')", { eval: true }).on('exit', () => console.log(text, child));
      });`;
    expect(await inside(['node', '-e', script])).toBe('worker\nx child\n');
  });

  const claude = `node_modules/@anthropic-ai/claude-agent-sdk-linux-${process.arch}/claude`;
  const binary = [claude, claude.replace('/claude', '-musl/claude')]
    .map((path) => join(projectDir, path))
    .find((path) => existsSync(path));
  test.skipIf(binary === undefined)('claude', async () => {
    const mount = { source: binary ?? '', target: '/opt/nanoclaw/claude', readOnly: true };
    expect(await inside(['/opt/nanoclaw/claude', '--version'], [mount])).toMatch(/^\d+\.\d+\.\d+ /);
  });
});

describe('the filter', () => {
  test('is not made for a processor whose numbers are unknown', () => {
    expect(seccompFilter('riscv64')).toBeNull();
  });

  test.each(['x64', 'arm64'])('for %s lets no jump leave the program', (processor) => {
    const filter = seccompFilter(processor);
    const length = filter.length / 8;
    for (let index = 0; index < length; index += 1) {
      const [ifTrue = 0, ifFalse = 0] = filter.subarray(index * 8 + 2, index * 8 + 4);
      expect(index + 1 + Math.max(ifTrue, ifFalse)).toBeLessThan(length + 1);
    }
    expect(filter.readUInt32LE((length - 1) * 8 + 4)).toBe(0x7fff0000);
  });
});
