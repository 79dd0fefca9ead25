/**
 * Assembles the filter on system calls at build time from one list of allowed calls: as a BPF
 * program for bubblewrap, and as a profile for docker and podman. All other calls are refused:
 * tracing, keyrings, io_uring, bpf, mounts, new namespaces, devices, unusual socket families.
 * A filter sees numbers and no memory, so calls whose arguments lie in memory are reported missing.
 */
import { allowedCalls } from './system-calls.mjs';

const processors = {
  x64: { audit: 0xc000003e, name: 'SCMP_ARCH_X86_64' },
  arm64: { audit: 0xc00000b7, name: 'SCMP_ARCH_AARCH64' },
};

const eperm = 1;
/** On this error the C library uses an older call. */
const enosys = 38;
const verdicts = {
  allow: 0x7fff0000,
  kill: 0x80000000,
  refuse: 0x50000 | eperm,
  missing: 0x50000 | enosys,
};

/** Higher numbers belong to kernels that are newer than this list. */
const newestNumber = 452;
const x32Bit = 0x40000000;

/** CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, net. */
const namespaces = 0x7e020000;
const family = { unix: 1, ipv4: 2, ipv6: 10, netlink: 16 };
/** SOCK_STREAM with TCP, SOCK_DGRAM with UDP, each also as the default; not ping, MPTCP or SCTP. */
const internetKinds = [
  { type: 1, protocols: [0, 6] },
  { type: 2, protocols: [0, 17] },
];
/** Without SOCK_NONBLOCK and SOCK_CLOEXEC. */
const socketTypeMask = 0xf;
/** NETLINK_ROUTE, with which programs list interfaces. The others reach many parts of the kernel. */
const netlinkRoute = 0;
/** Kinds of file: unnamed, pipe, regular, socket; devices are not among them. */
const fileKinds = [0, 0o010000, 0o100000, 0o140000];
const fileKindMask = 0o170000;
const setIdBits = 0o6000;
/** O_CREAT and O_TMPFILE: only with them does the mode count. */
const makesFile = 0o20000100;

/** A test: the low 32 bits of an argument, masked, have this value. */
const has = (argument, mask, value) => ({ argument, mask, value });
const hasNone = (argument, bits) => has(argument, bits, 0);
const isOneOf = (argument, values, mask = 0xffffffff) =>
  values.map((value) => has(argument, mask, value));

/** A socket of this family and one of these protocols. */
const socketsOf = (number, protocols) =>
  protocols.map((protocol) => [has(0, 0xffffffff, number), has(2, 0xffffffff, protocol)]);
const internetSockets = (number) =>
  internetKinds.flatMap(({ type, protocols }) =>
    socketsOf(number, protocols).map((tests) => [...tests, has(1, socketTypeMask, type)]),
  );

/** Calls that are allowed when one of the tests holds. Of a list of tests all must hold. */
export const testedCalls = {
  clone: { x64: 56, arm64: 220, tests: [hasNone(0, namespaces)] },
  socket: {
    x64: 41,
    arm64: 198,
    tests: [
      has(0, 0xffffffff, family.unix),
      ...internetSockets(family.ipv4),
      ...internetSockets(family.ipv6),
      ...socketsOf(family.netlink, [netlinkRoute]),
    ],
  },
  socketpair: { x64: 53, arm64: 199, tests: [has(0, 0xffffffff, family.unix)] },
  mknod: { x64: 133, tests: isOneOf(1, fileKinds, fileKindMask | setIdBits) },
  mknodat: { x64: 259, arm64: 33, tests: isOneOf(2, fileKinds, fileKindMask | setIdBits) },
  chmod: { x64: 90, tests: [hasNone(1, setIdBits)] },
  fchmod: { x64: 91, arm64: 52, tests: [hasNone(1, setIdBits)] },
  fchmodat: { x64: 268, arm64: 53, tests: [hasNone(2, setIdBits)] },
  fchmodat2: { x64: 452, arm64: 452, tests: [hasNone(2, setIdBits)] },
  creat: { x64: 85, tests: [hasNone(1, setIdBits)] },
  open: { x64: 2, tests: [hasNone(1, makesFile), hasNone(2, setIdBits)] },
  openat: { x64: 257, arm64: 56, tests: [hasNone(2, makesFile), hasNone(3, setIdBits)] },
  // The ordinary personality, and the query for the current one.
  personality: { x64: 135, arm64: 92, tests: isOneOf(0, [0, 0xffffffff]) },
};

const missingCalls = { clone3: { x64: 435, arm64: 435 }, openat2: { x64: 437, arm64: 437 } };

/** The profile that docker and podman take as `--security-opt seccomp=FILE`, for both processors. */
export function seccompProfile() {
  const tested = Object.entries(testedCalls).flatMap(([name, { tests }]) =>
    tests.map((test) => ({
      names: [name],
      action: 'SCMP_ACT_ALLOW',
      args: [test].flat().map(({ argument, mask, value }) => {
        return { index: argument, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' };
      }),
    })),
  );
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: eperm,
    archMap: Object.values(processors).map(({ name }) => ({
      architecture: name,
      subArchitectures: [],
    })),
    syscalls: [
      { names: Object.keys(allowedCalls), action: 'SCMP_ACT_ALLOW', args: [] },
      ...tested,
      { names: Object.keys(missingCalls), action: 'SCMP_ACT_ERRNO', errnoRet: enosys, args: [] },
    ],
  };
}

/** The filter as bubblewrap's `--seccomp` takes it; null for a processor that is not in the list. */
export function seccompFilter(processor) {
  if (processors[processor] === undefined) return null;
  const numbers = (calls) =>
    Object.values(calls).flatMap((call) =>
      call[processor] === undefined ? [] : [call[processor]],
    );
  return Buffer.concat([
    instruction('load', architectureAt),
    instruction('equals', processors[processor].audit, 1, 0),
    instruction('end', verdicts.kill),
    instruction('load', numberAt),
    instruction('isAtLeast', x32Bit, 0, 1),
    instruction('end', verdicts.refuse),
    instruction('isAtLeast', newestNumber + 1, 0, 1),
    instruction('end', verdicts.missing),
    ...rangesOf(numbers(allowedCalls)).flatMap(allowRange),
    ...numbers(missingCalls).flatMap((number) => [
      instruction('equals', number, 0, 1),
      instruction('end', verdicts.missing),
    ]),
    ...Object.values(testedCalls)
      .filter((call) => call[processor] !== undefined)
      .flatMap((call) => allowTested(call[processor], call.tests)),
    instruction('end', verdicts.refuse),
  ]);
}

/** The numbers as ranges without gaps, because most calls have neighbours. */
function rangesOf(numbers) {
  const ranges = [];
  for (const number of numbers.sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last.to === number - 1) last.to = number;
    else ranges.push({ from: number, to: number });
  }
  return ranges;
}

function allowRange({ from, to }) {
  return [
    instruction('isAtLeast', from, 0, 2),
    instruction('isAtLeast', to + 1, 1, 0),
    instruction('end', verdicts.allow),
  ];
}

/** One call. The program ends here, so its arguments may replace the number in the accumulator. */
function allowTested(number, tests) {
  const body = [
    ...tests.flatMap((test) => allowWhenAll([test].flat())),
    instruction('end', verdicts.refuse),
  ];
  return [instruction('equals', number, 0, body.length), ...body];
}

/** Continues after these instructions when one of the tests does not hold. */
function allowWhenAll(tests) {
  const testLength = 3;
  return [
    ...tests.flatMap(({ argument, mask, value }, index) => [
      instruction('load', firstArgumentAt + argument * argumentBytes),
      instruction('and', mask),
      instruction('equals', value, 0, (tests.length - index - 1) * testLength + 1),
    ]),
    instruction('end', verdicts.allow),
  ];
}

/** Operations of classic BPF, linux/bpf_common.h; each compares or takes a 32-bit constant. */
const operations = { load: 0x20, equals: 0x15, isAtLeast: 0x35, and: 0x54, end: 0x06 };

/** Offsets in `struct seccomp_data`; both processors are little-endian. */
const numberAt = 0;
const architectureAt = 4;
const firstArgumentAt = 16;
const argumentBytes = 8;

/** One `struct sock_filter`; the jumps count instructions to skip. */
function instruction(kind, value, ifTrue = 0, ifFalse = 0) {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(operations[kind], 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(value, 4);
  return bytes;
}
