/** Attacks with special files, mode bits, links and kinds of sockets. */
import type { Check } from './check.ts';
import { withSyscalls } from './syscalls.ts';

const area = 'devices';
// Not in out/: the host moves unexpected files out of it at once.

export const deviceChecks: Check[] = [
  {
    id: 'device-nodes',
    area,
    says: 'make a device node, nor the whiteout of an overlay',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
import stat
folders = ['/workspace/group', '/home/agent', '/tmp', '/dev/shm']
for folder in filter(os.path.isdir, folders):
    for kind, device in ((stat.S_IFCHR, os.makedev(1, 1)), (stat.S_IFBLK, os.makedev(254, 0)),
            (stat.S_IFBLK, os.makedev(8, 0)), (stat.S_IFCHR, 0)):
        path = folder + '/hostile-node'
        print(folder, oct(kind), device)
        if refused('mknodat', -100, path.encode(), kind | 0o666, device) == 0:
            os.unlink(path)`),
    },
  },
  {
    id: 'device-list',
    area,
    says: 'open a device other than null, zero, full, random and its own terminals',
    program: {
      language: 'python',
      code: `
import os, stat
usual = {'/dev/' + name for name in ('null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'pts/ptmx', 'console')}
for folder, _, names in os.walk('/dev'):
    for name in names:
        path = os.path.join(folder, name)
        try:
            mode = os.lstat(path).st_mode
            if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) or path in usual:
                continue
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
            print('OPEN', path)
        except OSError as error:
            print(error)
print('looked')`,
    },
  },
  {
    id: 'set-uid',
    area,
    says: 'leave a set-uid or set-gid file, or one with capabilities, for somebody of the host',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
import struct
folders = ['/workspace/group', '/home/agent', '/tmp']
for folder in filter(os.path.isdir, folders):
    path = folder + '/hostile-bits'
    print(folder)
    def made(how):
        bits = os.lstat(path).st_mode & 0o6000 if os.path.lexists(path) else 0
        print('OPEN' if bits else '', how, oct(bits))
        if os.path.lexists(path):
            os.unlink(path)
    for mode in (0o4755, 0o2755):
        for name in ('chmod', 'fchmodat', 'fchmodat2', 'fchmod'):
            with open(path, 'w') as file:
                if name == 'chmod':
                    result = call(name, path.encode(), mode)
                elif name == 'fchmod':
                    result = call(name, file.fileno(), mode)
                else:
                    result = call(name, -100, path.encode(), mode, 0)
            made(name)
        os.umask(0)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, mode))
        except OSError as error:
            print(error)
        made('open')
        how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, mode, 0)
        call('openat2', -100, path.encode(), ctypes.byref(how), 24)
        made('openat2')
        call('mknodat', -100, path.encode(), 0o100000 | mode, 0)
        made('mknod')
    open(path, 'w').close()
    capability = struct.pack('<IIIII', 0x02000001, 0xffffffff, 0, 0xffffffff, 0)
    refused('setxattr', path.encode(), b'security.capability', capability, 20, 0)
    refused('setxattr', path.encode(), b'trusted.overlay.opaque', b'y', 1, 0)
    os.unlink(path)`),
    },
  },
  {
    id: 'hard-links',
    area,
    says: 'take a hard link of a file that is not its own',
    mild: true,
    program: {
      language: 'python',
      code: `
import glob, os
AT_FOLLOW = 0x400
targets = ['/etc/passwd', '/usr/bin/su', '/usr/bin/node', os.environ['HOST_HOME_FILE'], os.environ['HOST_TMP_FILE']]
targets += glob.glob('/opt/*/*')[:5] + glob.glob('/workspace/ipc/in/*')[:3] + glob.glob('/workspace/global/*')[:3]
for folder in ('.', '/workspace/group', '/workspace/ipc/out', '/home/agent', '/dev/shm'):
    for target in targets:
        path = folder + '/hostile-link'
        try:
            os.link(target, path)
            print('OPEN linked', target)
            os.unlink(path)
        except OSError as error:
            last = error
        try:
            handle = os.open(target, os.O_RDONLY)
            os.link('/proc/self/fd/%d' % handle, path, follow_symlinks=True)
            print('OPEN linked an open file', target)
            os.unlink(path)
        except OSError as error:
            last = error
    print(folder, last)`,
    },
  },
  {
    id: 'socket-families',
    area,
    says: 'open a socket but of the families Unix, IPv4, IPv6 and netlink routing',
    mild: true,
    program: {
      language: 'python',
      code: withSyscalls(`
import socket
families = {getattr(socket, name): name for name in dir(socket) if name.startswith('AF_')}
kinds = {1: 'stream', 2: 'datagram', 3: 'raw', 4: 'rdm', 5: 'seqpacket', 10: 'packet'}
def attempt(family, kind, protocol):
    result = libc.socket(family, kind, protocol)
    if result >= 0:
        os.close(result)
    return result >= 0
for family in range(0, 46):
    if family in (1, 2, 10, 16):
        continue
    for kind in kinds:
        protocol = 0x300 if family == 17 else 2 if family == 15 else 0
        if attempt(family, kind, protocol):
            print('OPEN', families.get(family, family), kinds[kind])
for family in (2, 10):
    for protocol in range(0, 263):
        if attempt(family, 3, protocol):
            print('OPEN raw', families[family], protocol)
    for protocol in (1, 58):
        if attempt(family, 2, protocol):
            print('OPEN ping', families[family])
    for kind, protocol, name in ((1, 132, 'SCTP'), (5, 132, 'SCTP'), (6, 33, 'DCCP'), (1, 262, 'MPTCP'), (2, 136, 'UDP-Lite'), (1, 256, 'SMC')):
        if attempt(family, kind, protocol):
            print('OPEN', name, families[family])
for protocol in range(1, 32):
    if attempt(16, 3, protocol):
        print('OPEN netlink protocol', protocol)
print('looked')`),
    },
  },
];
