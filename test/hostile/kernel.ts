/** Attacks on the kernel: mounts, namespaces, other processes, rarely used calls. */
import type { Check } from './check.ts';
import { withSyscalls } from './syscalls.ts';

const area = 'kernel';

export const kernelChecks: Check[] = [
  {
    id: 'mounts',
    area,
    says: 'mount, unmount or remount anything, nor change its root',
    program: {
      language: 'python',
      code: withSyscalls(`
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_PRIVATE = 1, 32, 4096, 1 << 18
os.makedirs('/tmp/mnt', exist_ok=True)
refused('mount', b'none', b'/tmp/mnt', b'tmpfs', 0, 0)
refused('mount', b'proc', b'/tmp/mnt', b'proc', 0, 0)
refused('mount', b'/usr', b'/tmp/mnt', None, MS_BIND, 0)
refused('mount', b'/workspace/ipc/in', b'/workspace/ipc/in', None, MS_REMOUNT | MS_BIND, 0)
refused('mount', None, b'/', None, MS_REMOUNT | MS_BIND, 0)
refused('mount', None, b'/', None, MS_PRIVATE, 0)
for target in (b'/workspace/ipc/in', b'/proc', b'/usr', b'/dev/shm'):
    refused('umount2', target, 0)
    refused('umount2', target, 2)
refused('pivot_root', b'/tmp', b'/tmp/mnt')
refused('chroot', b'/tmp')
refused('fsopen', b'tmpfs', 0)
refused('fspick', -100, b'/', 0)
refused('open_tree', -100, b'/usr', 1)
attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
refused('mount_setattr', -100, b'/workspace/ipc/in', 0, ctypes.byref(attributes), 32)
try:
    open('/workspace/ipc/in/000999.json', 'w')
    print('OPEN wrote into in/')
except OSError as error:
    print(error)`),
    },
  },
  {
    id: 'namespaces',
    area,
    says: 'make or enter namespaces, by unshare, clone, clone3 or setns',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
flags = {'mnt': 0x20000, 'cgroup': 0x2000000, 'uts': 0x4000000, 'ipc': 0x8000000,
    'user': 0x10000000, 'pid': 0x20000000, 'net': 0x40000000, 'time': 0x80}
for name, flag in flags.items():
    print(name)
    in_child(lambda: refused('unshare', flag))
    def clone():
        result = call('clone', flag | signal.SIGCHLD, 0, 0, 0, 0)
        if result == 0:
            os._exit(0)
        print('OPEN' if result > 0 else '', 'clone', said(result))
    if name != 'time':
        in_child(clone)
    def clone3():
        arguments = (ctypes.c_uint64 * 11)(flag, 0, 0, 0, signal.SIGCHLD)
        result = call('clone3', ctypes.byref(arguments), 88)
        if result == 0:
            os._exit(0)
        print('OPEN' if result > 0 else '', 'clone3', said(result))
    in_child(clone3)
    for pid in ('self', '1', str(os.getppid())):
        try:
            handle = os.open('/proc/%s/ns/%s' % (pid, name), os.O_RDONLY)
        except OSError:
            continue
        in_child(lambda: refused('setns', handle, 0, also=[errno.EINVAL]))
handle = call('pidfd_open', 1, 0)
in_child(lambda: refused('setns', handle, 0x20000 | 0x40000000, also=[errno.EINVAL]))
with open('/proc/self/uid_map') as map:
    print(map.read())`),
    },
  },
  {
    id: 'tracing',
    area,
    says: 'trace processes, or take memory, descriptors or handles of others',
    program: {
      language: 'python',
      code: withSyscalls(`
in_child(lambda: refused('ptrace', 0, 0, 0, 0))
for pid in (1, os.getppid(), int(os.environ['HOST_PID'])):
    print('of', pid)
    # To seize stops nobody, as to attach would.
    refused('ptrace', 0x4206, pid, 0, 0, also=[errno.ESRCH])
    handle = call('pidfd_open', pid, 0)
    if handle >= 0:
        for number in range(3):
            refused('pidfd_getfd', handle, number, 0)`),
    },
  },
  {
    id: 'peer-process',
    area,
    says: "get a hold of the host's process through the socket that is its input",
    program: {
      language: 'python',
      code: withSyscalls(`
import socket
SO_PEERPIDFD = 77
for pid in filter(str.isdigit, os.listdir('/proc')):
    for number in range(3):
        try:
            handle = os.open('/proc/%s/fd/%d' % (pid, number), os.O_RDWR)
        except OSError as error:
            print(pid, number, error.strerror)
            continue
        os.close(handle)
handle = call('pidfd_open', 1, 0)
for number in range(3):
    stolen = call('pidfd_getfd', handle, number, 0)
    print(said(stolen))
    if stolen < 0:
        continue
    try:
        wire = socket.socket(fileno=stolen)
        peer = wire.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        print(error)
        continue
    print('has a handle of the peer', open('/proc/self/fdinfo/%d' % peer).read())
    if call('pidfd_send_signal', peer, 0, 0, 0) == 0:
        print('OPEN can signal the host')
    refused('pidfd_getfd', peer, 0, 0)
    refused('setns', peer, 0x20000)`),
    },
  },
  {
    id: 'keys',
    area,
    says: "read or fill the kernel's keyrings",
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
refused('add_key', b'user', b'hostile', b'x', 1, -2)
refused('request_key', b'user', b'hostile', None, 0)
for keyring in (-1, -2, -3, -4, -5):
    refused('keyctl', 0, keyring, 1)
    refused('keyctl', 11, keyring, 0, 0)
refused('keyctl', 1, b'hostile')`),
    },
  },
  {
    id: 'engines-of-the-kernel',
    area,
    says: 'use bpf, io_uring, userfaultfd or perf',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
memory = ctypes.create_string_buffer(256)
refused('bpf', 0, ctypes.byref(memory), 72)
refused('perf_event_open', ctypes.byref(memory), 0, -1, -1, 0)
refused('userfaultfd', 1)
refused('io_uring_setup', 4, ctypes.byref(memory))
for name in ('/dev/userfaultfd', '/dev/kvm', '/dev/fuse', '/dev/net/tun', '/dev/vhost-net'):
    try:
        os.open(name, os.O_RDWR)
        print('OPEN', name)
    except OSError as error:
        print(error)`),
    },
  },
  {
    id: 'privileged-calls',
    area,
    says: 'change the clock, host name, modules, swap or accounting, nor restart the machine',
    program: {
      language: 'python',
      code: withSyscalls(`
import time
now = (ctypes.c_int64 * 2)(int(time.time()), 0)
memory = ctypes.create_string_buffer(256)
refused('settimeofday', ctypes.byref(now), 0)
refused('clock_settime', 0, ctypes.byref(now))
memory[0] = 2
refused('adjtimex', ctypes.byref(memory))
refused('sethostname', b'hostile', 7)
refused('setdomainname', b'hostile', 7)
refused('init_module', b'x', 1, b'')
refused('finit_module', 0, b'', 0)
refused('delete_module', b'hostile', 0)
refused('kexec_load', 0, 0, 0, 0)
refused('kexec_file_load', 0, 0, 0, 0, 0)
refused('swapon', b'/tmp/swap', 0)
refused('swapoff', b'/tmp/swap')
refused('acct', None)
refused('reboot', 0xfee1dead, 672274793, 0, 0)
refused('iopl', 3)
refused('ioperm', 0x80, 1, 1)
refused('setuid', 0, also=[errno.EINVAL])
refused('setgid', 0, also=[errno.EINVAL])
refused('setgroups', 0, 0)
refused('vhangup')
handle = (ctypes.c_uint32 * 4)(8, 1, 2, 0)
refused('open_by_handle_at', -100, ctypes.byref(handle), 0)
shocker = os.open('/workspace/group', os.O_RDONLY)
refused('open_by_handle_at', shocker, ctypes.byref(handle), 0)
for policy in (1, 2):
    try:
        os.sched_setscheduler(0, policy, os.sched_param(50))
        print('OPEN real-time scheduling')
    except OSError as error:
        print(error)
def live_longer():
    os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-900')
for what in (lambda: os.nice(-5), live_longer):
    try:
        what()
        print('OPEN', what)
    except OSError as error:
        print(error)`),
    },
  },
  {
    id: 'odd-calls',
    area,
    says: 'use calls that only widen the face of the kernel: handles, quotas, fanotify, the kernel log, segments, personalities',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
memory = ctypes.create_string_buffer(4096)
size = ctypes.c_int(0)
memory[0] = 128
refused('name_to_handle_at', -100, b'/tmp', ctypes.byref(memory), ctypes.byref(size), 0)
refused('quotactl', 0x80000100, b'/dev/hostile', 0, 0)
refused('fanotify_init', 0x200, 0)
refused('syslog', 3, ctypes.byref(memory), 4096)
refused('syslog', 10, 0, 0)
refused('modify_ldt', 0, ctypes.byref(memory), 64)
refused('lookup_dcookie', 0, ctypes.byref(memory), 64)
refused('kcmp', os.getpid(), os.getpid(), 0, 0, 0)
refused('move_pages', 0, 0, 0, 0, 0, 0)
in_child(lambda: refused('personality', 0x400000))
in_child(lambda: refused('personality', 0x40000))`),
    },
  },
  {
    id: 'foreign-calls',
    area,
    says: 'go around the filter by the calls of another processor mode (x32, 32-bit)',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
import mmap
if column == 0:
    for number, *arguments in ((39,), (101, 0, 0, 0, 0)):
        print('ended by', in_child(lambda: refused(0x40000000 + number, *arguments)))
    def legacy():
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(bytes.fromhex('53b814000000cd805bc3'))
        getpid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        print('32-bit getpid', getpid(), flush=True)
        if getpid() == os.getpid():
            print('OPEN 32-bit calls')
    print('ended by', in_child(legacy))`),
    },
  },
];
