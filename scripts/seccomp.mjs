/**
 * Assembles the seccomp filter of the bubblewrap runtime at build time, into dist/seccomp.bpf: a
 * deny-list of what namespaces and dropped capabilities leave open, such as vsock, nested user
 * namespaces and io_uring.
 * Left to the kernel: what needs a capability (mount, mknod, setns), and what reaches only the
 * agent's own processes. Set-uid files gain nothing: nothing inside heeds them, and the folders
 * in which they could lie are closed to the host's other users.
 */
const architectures = {
  x64: { audit: 0xc000003e, column: 0 },
  arm64: { audit: 0xc00000b7, column: 1 },
};

const verdicts = {
  allow: 0x7fff0000,
  kill: 0x80000000,
  refuse: 0x00050001, // EPERM
  missing: 0x00050026, // ENOSYS: the C library then falls back to an older call
};

/** Operations of classic BPF, linux/bpf_common.h; each compares or takes a 32-bit constant. */
const operations = { load: 0x20, equals: 0x15, isAtLeast: 0x35, hasAnyBit: 0x45, end: 0x06 };

/** Offsets in `struct seccomp_data`. */
const numberAt = 0;
const architectureAt = 4;
const firstArgumentAt = 16;

const x32Bit = 0x40000000;
/** CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, net. */
const namespaceBits = 0x7e020000;
/** Names of calls, with their numbers on x64 and arm64. */
const sockets = { socket: [41, 198], socketpair: [53, 199] };
/** AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, by which programs list interfaces. */
const allowedFamilies = [1, 2, 10, 16];

const refused = {
  ptrace: [101, 117],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
};

/**
 * What becomes of some calls: always, or `when` the first argument's low half passes the test.
 * The first rule that applies decides; what none decides is allowed.
 */
const rules = [
  { calls: refused, verdict: 'refuse' },
  // Its flags lie in memory, which a filter cannot read.
  { calls: { clone3: [435, 435] }, verdict: 'missing' },
  {
    calls: { clone: [56, 220], unshare: [272, 97] },
    verdict: 'refuse',
    when: ['hasAnyBit', namespaceBits],
  },
  ...allowedFamilies.map((family) => ({
    calls: sockets,
    verdict: 'allow',
    when: ['equals', family],
  })),
  { calls: sockets, verdict: 'refuse' },
];

/** The filter, as bubblewrap's `--seccomp` takes it; null on a processor that it does not know. */
export function seccompFilter(processor) {
  if (architectures[processor] === undefined) return null;
  const { audit, column } = architectures[processor];
  return Buffer.concat([
    instruction('load', architectureAt),
    instruction('equals', audit, 1, 0),
    instruction('end', verdicts.kill),
    instruction('load', numberAt),
    instruction('isAtLeast', x32Bit, 0, 1),
    instruction('end', verdicts.refuse),
    ...rules.flatMap((rule) =>
      Object.values(rule.calls).flatMap((numbers) => applied(rule, numbers[column])),
    ),
    instruction('end', verdicts.allow),
  ]);
}

/** One rule for one call. What it does not decide goes on below it. */
function applied({ verdict, when }, number) {
  const test = when && [instruction('load', firstArgumentAt), instruction(...when, 0, 1)];
  const body = [...(test ?? []), instruction('end', verdicts[verdict])];
  return [instruction('load', numberAt), instruction('equals', number, 0, body.length), ...body];
}

/** One `struct sock_filter`; the jumps count instructions to skip. */
function instruction(kind, value, ifTrue = 0, ifFalse = 0) {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(operations[kind], 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(value, 4);
  return bytes;
}
