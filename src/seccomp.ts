/**
 * Assembles the seccomp filter of the bubblewrap runtime: a deny-list of what namespaces and
 * dropped capabilities leave open, such as vsock, nested user namespaces and io_uring.
 * Calls that need a capability (mount, kexec, modules) are left to the kernel, which refuses them.
 */
import { UserError } from './types.ts';

/** Numbers of one system call on x64 and arm64; null where it does not exist. */
type Call = readonly [x64: number | null, arm64: number | null];

const refusedCalls: Record<string, Call> = {
  setns: [308, 268],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_getfd: [438, 438],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
};

const architectures = {
  x64: { audit: 0xc000003e, column: 0 },
  arm64: { audit: 0xc00000b7, column: 1 },
} as const;

/** Offsets in `struct seccomp_data`; of an argument the low half, all that these checks need. */
const numberAt = 0;
const architectureAt = 4;
const argumentAt = (index: number): number => 16 + 8 * index;

/** Operations of classic BPF, linux/bpf_common.h; each compares or takes a 32-bit constant. */
const operation = { load: 0x20, ifEqual: 0x15, ifAtLeast: 0x35, ifAnyBit: 0x45, end: 0x06 };

const verdict = {
  allow: 0x7fff0000,
  kill: 0x80000000,
  refuse: 0x00050001, // EPERM
  missing: 0x00050026, // ENOSYS: the C library then falls back to an older call
};

const x32Bit = 0x40000000;
const setIdBits = 0o6000;
const createsFile = 0o100 | 0o20000000; // O_CREAT | __O_TMPFILE
/** CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, net. */
const namespaceBits = 0x7e020000;
/** AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, by which programs list interfaces. */
const allowedFamilies = [1, 2, 10, 16];
/** TIOCSTI and TIOCLINUX type into the terminal of whoever started us. */
const typingRequests = [0x5412, 0x541c];

/** The filter, as bubblewrap's `--seccomp` takes it. Throws UserError on an unknown processor. */
export function seccompFilter(processor: string): Buffer {
  if (processor !== 'x64' && processor !== 'arm64')
    throw new UserError(`No system call filter for ${processor}: use docker or podman here.`);
  const { audit, column } = architectures[processor];
  const on = (call: Call, body: Buffer[]): Buffer[] => {
    const number = call[column];
    // A body that falls through reloads the number for the rules below it.
    return number === null ? [] : when('ifEqual', number, [...body, load(numberAt)]);
  };
  return Buffer.concat([
    load(architectureAt),
    instruction('ifEqual', audit, 1, 0),
    end('kill'),
    load(numberAt),
    ...(processor === 'x64' ? when('ifAtLeast', x32Bit, [end('refuse')]) : []),
    ...Object.values(refusedCalls).flatMap((call) => on(call, [end('refuse')])),
    // The flags of clone3 and openat2 lie in memory, which a filter cannot read.
    ...on([435, 435], [end('missing')]),
    ...on([437, 437], [end('missing')]),
    ...on([56, 220], refuseBits(0, namespaceBits)), // clone
    ...on([272, 97], refuseBits(0, namespaceBits)), // unshare
    ...on([41, 198], refuseFamilies()), // socket
    ...on([53, 199], refuseFamilies()), // socketpair
    ...on([16, 29], refuseTyping()), // ioctl
    ...on([90, null], refuseBits(1, setIdBits)), // chmod
    ...on([91, 52], refuseBits(1, setIdBits)), // fchmod
    ...on([268, 53], refuseBits(2, setIdBits)), // fchmodat
    ...on([452, 452], refuseBits(2, setIdBits)), // fchmodat2
    ...on([133, null], refuseBits(1, setIdBits)), // mknod
    ...on([259, 33], refuseBits(2, setIdBits)), // mknodat
    ...on([85, null], refuseBits(1, setIdBits)), // creat
    ...on([2, null], refuseCreating(1)), // open
    ...on([257, 56], refuseCreating(2)), // openat
    end('allow'),
  ]);
}

function refuseBits(argument: number, bits: number): Buffer[] {
  return [load(argumentAt(argument)), ...when('ifAnyBit', bits, [end('refuse')])];
}

/** The mode follows the flags, and means something only when a file is created. */
function refuseCreating(flags: number): Buffer[] {
  return [
    load(argumentAt(flags)),
    ...when('ifAnyBit', createsFile, refuseBits(flags + 1, setIdBits)),
  ];
}

function refuseFamilies(): Buffer[] {
  const allowed = allowedFamilies.flatMap((family) => when('ifEqual', family, [end('allow')]));
  return [load(argumentAt(0)), ...allowed, end('refuse')];
}

function refuseTyping(): Buffer[] {
  const refused = typingRequests.flatMap((code) => when('ifEqual', code, [end('refuse')]));
  return [load(argumentAt(1)), ...refused];
}

/** `body`, skipped unless the loaded word passes the test. */
function when(test: keyof typeof operation, value: number, body: Buffer[]): Buffer[] {
  return [instruction(test, value, 0, body.length), ...body];
}

function load(offset: number): Buffer {
  return instruction('load', offset, 0, 0);
}

function end(kind: keyof typeof verdict): Buffer {
  return instruction('end', verdict[kind], 0, 0);
}

/** One `struct sock_filter`; the jumps count instructions to skip. */
function instruction(
  kind: keyof typeof operation,
  value: number,
  ifTrue: number,
  ifFalse: number,
): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(operation[kind], 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(value >>> 0, 4);
  return bytes;
}
