/**
 * System calls by number, for programs in Python. The C library wraps only some calls, and falls
 * back where a hostile program would not. Each entry has the numbers on x64 and arm64, or null
 * where the processor has no such call.
 */

const numbers = {
  chmod: [90, null],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  mknodat: [259, 33],
  linkat: [265, 37],
  setxattr: [188, 5],
  openat2: [437, 437],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  unshare: [272, 97],
  setns: [308, 268],
  clone: [56, 220],
  clone3: [435, 435],
  ptrace: [101, 117],
  kcmp: [312, 272],
  pidfd_open: [434, 434],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_getfd: [438, 438],
  pidfd_send_signal: [424, 424],
  process_madvise: [440, 440],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  adjtimex: [159, 171],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  acct: [163, 89],
  quotactl: [179, 60],
  syslog: [103, 116],
  vhangup: [153, 58],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  fanotify_init: [300, 262],
  personality: [135, 92],
  modify_ldt: [154, null],
  iopl: [172, null],
  ioperm: [173, null],
  lookup_dcookie: [212, 18],
  move_pages: [279, 239],
  migrate_pages: [256, 238],
  vmsplice: [278, 75],
  setuid: [105, 146],
  setgid: [106, 144],
  setgroups: [116, 159],
} satisfies Record<string, [number | null, number | null]>;

const prelude = `
import ctypes, errno, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
column = ['x86_64', 'aarch64'].index(os.uname().machine)
numbers = ${JSON.stringify(numbers).replaceAll('null', 'None')}

def call(name, *args):
    """What the call gives, or -errno; None where there is no such call."""
    number = numbers[name][column] if isinstance(name, str) else name
    if number is None:
        return None
    given = [ctypes.c_char_p(a) if isinstance(a, bytes) else a if isinstance(a, ctypes._CFuncPtr)
        or hasattr(a, '_type_') or hasattr(a, '_fields_') or type(a).__name__ == 'CArgObject'
        else ctypes.c_long(a or 0) for a in args]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *given)
    return result if result != -1 else -ctypes.get_errno()

def said(result):
    return 'done: %d' % result if result >= 0 else errno.errorcode.get(-result, str(-result))

def refused(name, *args, also=()):
    """Prints OPEN unless the call is refused as a whole, whatever it was given."""
    result = call(name, *args)
    if result is None:
        return
    allowed = [-errno.EPERM, -errno.EACCES, -errno.ENOSYS] + [-e for e in also]
    print('' if result in allowed else 'OPEN', name, said(result), flush=True)
    return result

def in_child(work):
    """Runs it in a child that may die of it; gives the wait status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print('failed:', error)
        sys.stdout.flush()
        os._exit(0)
    return os.waitpid(child, 0)[1]
`;

/** A program that can make system calls by number. */
export function withSyscalls(code: string): string {
  return `${prelude}${code}`;
}
