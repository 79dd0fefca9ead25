import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from 'vitest';
import { defaultLimits } from '../src/config.ts';
import { detectRuntime, spawnLaunch } from '../src/runtimes/container-runtime.ts';
import type { Mount } from '../src/runtimes/container-spec.ts';
import { seccompFilter, seccompProfile, testedCalls } from './seccomp.mjs';
import { allowedCalls } from './system-calls.mjs';

const projectDir = resolve(import.meta.dirname, '..');
const dir = mkdtempSync(join(tmpdir(), 'seccomp-'));
chmodSync(dir, 0o777);
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let count = 0;
const runtime = await detectRuntime(
  process.env.NANOCLAW_RUNTIME ?? 'bubblewrap',
  projectDir,
  process.env,
);

/** Runs a program in a real container, and resolves to its output. */
async function inside(command: string[], mounts: Mount[] = []): Promise<string> {
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
  // Docker warns of an option.
  return out + errors.replace(/^time=.*\n?/gm, '');
}

/** One system call, made by python past the C library's wrappers; resolves to its result. */
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

  test.each([
    ['clone3', { x64: 435, arm64: 435 }],
    ['openat2', { x64: 437, arm64: 437 }],
    ['what newer kernels may bring', { x64: 999, arm64: 999 }],
  ])('%s as if the kernel lacked it, so that an older call is used', async (_, numbers) => {
    expect(await call(numbers, 0, 0, 0, 0)).toBe(missing);
  });

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
    ['process_vm_readv', { x64: 310, arm64: 270 }],
    ['name_to_handle_at', { x64: 303, arm64: 264 }],
    ['syslog', { x64: 103, arm64: 116 }],
    ['setns', { x64: 308, arm64: 268 }],
    ['unshare, whatever of', { x64: 272, arm64: 97 }],
    ['fsopen', { x64: 430, arm64: 430 }],
  ])('%s', async (_, numbers) => {
    expect(await call(numbers, 1, 0, 0, 0, 0)).toBe(refused);
  });

  test('mount and umount', async () => {
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

  test('sockets of an unusual type or protocol', async () => {
    const code = `import socket
for kind, protocol in ((5, 0), (6, 0), (3, 1), (2, 1), (1, 132), (1, 262), (2, 136), (1, 17)):
  for family in (socket.AF_INET, socket.AF_INET6):
    try: socket.socket(family, kind, protocol); print('open')
    except PermissionError: print('refused')
    except OSError as error: print(error)`;
    expect([...new Set((await python(code)).split('\n'))]).toEqual(['refused']);
  });

  test('a pair of sockets of an unusual family', async () => {
    expect(await call({ x64: 53, arm64: 199 }, 30, 1, 0, 0)).toBe(refused);
  });

  test.each([
    ['devices', 'os.mknod("made", 0o020666, os.makedev(1, 5))'],
    ['files that are born set-uid', 'os.mknod("made", 0o104755)'],
    ['to open a new file set-uid', 'os.open("made", os.O_CREAT | os.O_WRONLY, 0o4755)'],
    ['to make a nameless file set-uid', 'os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)'],
    ['to make a file set-uid', 'os.chmod("ordinary", 0o4755)'],
    ['to make a file set-gid', 'os.chmod("ordinary", 0o2755)'],
    ['to make an open file set-uid', 'os.fchmod(os.open("ordinary", os.O_RDONLY), 0o4755)'],
    ['to make a file set-uid from afar', 'os.chmod("ordinary", 0o4755, dir_fd=os.open(".", 0))'],
  ])('%s', async (_, code) => {
    const output = await python(`import os
open('ordinary', 'w').close()
try: ${code}; print('done')
except OSError as error: print(error.strerror)`);
    expect(output).toBe(refused);
  });

  test.skipIf(process.arch !== 'x64')('the numbers of the x32 interface', async () => {
    // The engines' library treats them as calls of another processor.
    expect(await call({ x64: 0x40000000 + 39, arm64: 0 })).toMatch(
      /^(Operation not permitted|Bad system call)$/,
    );
  });

  test.skipIf(process.arch !== 'x64')('32-bit calls, by killing the process', async () => {
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
ipv6 = socket.socket(socket.AF_INET6)
if open('/proc/net/if_inet6').read(): ipv6.bind(('::1', 0))
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
  test('is not made for a processor whose system call numbers are unknown', () => {
    expect(seccompFilter('riscv64')).toBeNull();
  });

  /** The program's verdict on a call, computed as the kernel does. */
  const verdictOf = (filter: Buffer, audit: number, call: number, args: number[]): number => {
    let accumulator = 0;
    for (let index = 0; index < filter.length / 8; index += 1) {
      const [ifTrue = 0, ifFalse = 0] = filter.subarray(index * 8 + 2, index * 8 + 4);
      const value = filter.readUInt32LE(index * 8 + 4);
      const branch = (holds: boolean) => (holds ? ifTrue : ifFalse);
      switch (filter.readUInt16LE(index * 8)) {
        case 0x20:
          if (value === 0) accumulator = call;
          else if (value === 4) accumulator = audit;
          else accumulator = args[(value - 16) / 8] ?? 0;
          break;
        case 0x54:
          accumulator = (accumulator & value) >>> 0;
          break;
        case 0x15:
          index += branch(accumulator === value);
          break;
        case 0x35:
          index += branch(accumulator >= value);
          break;
        case 0x06:
          return value;
      }
    }
    throw new Error('it ends without a verdict');
  };
  const processors = [
    { processor: 'x64' as const, audit: 0xc000003e },
    { processor: 'arm64' as const, audit: 0xc00000b7 },
  ];
  const allow = 0x7fff0000;

  test.each(processors)(
    'for $processor always reaches a verdict, and kills calls of other processors',
    (each) => {
      const filter = seccompFilter(each.processor);
      for (let call = 0; call < 600; call += 1) verdictOf(filter, each.audit, call, []);
      expect(verdictOf(filter, 0x40000003, 1, [])).toBe(0x80000000);
    },
  );

  test.each(processors)("for $processor allows what the engines' profile allows", (each) => {
    const filter = seccompFilter(each.processor);
    const profile = seccompProfile();
    const numbers = new Map(
      Object.entries({ ...allowedCalls, ...testedCalls }).flatMap(([name, call]) =>
        call[each.processor] === undefined ? [] : [[call[each.processor], name] as const],
      ),
    );
    const values = [0, 1, 2, 10, 16, 40, 17, 0o644, 0o4755, 0o2755, 0o100, 0o020666, 0o100644];
    const tries = [...values, 0o104755, 0x10000000, 0x10000011, 0o20000000, 0xffffffff];
    const inProfile = (name: string | undefined, args: number[]) =>
      profile.syscalls.some(
        (rule) =>
          rule.action === 'SCMP_ACT_ALLOW' &&
          rule.names.some((known) => known === name) &&
          rule.args.every(
            ({ index, value, valueTwo }) => ((args[index] ?? 0) & value) >>> 0 === valueTwo,
          ),
      );
    for (let call = 0; call < 600; call += 1)
      for (const first of tries)
        for (const second of tries)
          for (const args of [
            [first, second, 0, 0],
            [0, first, second, 0],
            [0, 0, first, second],
          ]) {
            const isAllowed = verdictOf(filter, each.audit, call, args) === allow;
            const name = numbers.get(call);
            if (isAllowed !== inProfile(name, args)) expect({ name, call, args }).toBe('equal');
          }
  });
});
