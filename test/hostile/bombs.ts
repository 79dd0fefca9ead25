/**
 * An agent that takes too many resources: processes, memory, disk, files, CPU, output. The programs
 * stop by themselves before they would harm a machine without limits.
 */
import { assault } from './assault.ts';
import type { Assault } from './siege.ts';

const area = 'bombs';

const fill = `
def fill(path, most):
    """Writes into it; gives the bytes that it took and what stopped it."""
    written = 0
    try:
        with open(path, 'wb', 0) as file:
            while written < most:
                written += file.write(bytes(min(MiB, most - written)))
        return written, None
    except OSError as error:
        return written, error.errno`;

const bomb = (code: string) => assault(fill + code);

/** The agent's own run may end for lack of memory or processes. */
const endsRun: Assault['endsRun'] = ['crashed', 'wire-broken'];
const isRoot = process.getuid?.() === 0;
/** Without a cgroup of its own, nothing limits the container's memory. */
const memory: Partial<Assault> = {
  endsRun,
  ...(!isRoot && {
    open: {
      bubblewrap:
        'Without root, bubblewrap cannot limit memory, as the start and the doctor say; docker and podman can.',
    },
  }),
};

export const bombChecks: Assault[] = [
  {
    id: 'fork-bomb',
    area,
    says: 'stop others by starting processes without end, nor leave one behind',
    endsRun,
    program: bomb(`
def bomb():
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            time.sleep(0.01)
if os.fork() == 0:
    bomb()
most = 0
while not over():
    now = len([name for name in os.listdir('/proc') if name.isdigit()])
    if now <= most:
        ready()
    else:
        most = now
        print(most, 'processes', flush=True)
    time.sleep(0.1)
if most > limits['processesMax']:
    print('OPEN more than the limit')`),
    held: ({ output }) => /^\d{3} processes/m.test(output),
  },
  {
    id: 'thread-bomb',
    area,
    says: 'start more threads than it may have processes',
    endsRun,
    program: bomb(`
import threading
started = 0
threading.stack_size(65536)
try:
    while started < limits['processesMax'] * 2:
        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        started += 1
except RuntimeError as error:
    print(error)
hold()
print(started, 'threads')
if started > limits['processesMax']:
    print('OPEN more than the limit')`),
  },
  {
    id: 'memory-bomb',
    area,
    says: 'have more memory than its share: in one process, in many, or in files of memory',
    ...memory,
    program: bomb(`
share = limits['memoryBytes']
reader, writer = os.pipe()
for number in range(8):
    if os.fork() == 0:
        held = []
        while not over():
            if number % 2:
                held.append(bytearray(os.urandom(4096)) * (MiB // 1024))
            else:
                handle = os.memfd_create('hostile')
                os.write(handle, os.urandom(4096) * (MiB // 1024))
                held.append(handle)
            os.write(writer, b'4')
            if len(held) > share // (4 * MiB) // 4:
                break
        while not over():
            time.sleep(0.05)
        os._exit(0)
os.close(writer)
taken = 0
while True:
    chunk = os.read(reader, 4096)
    if not chunk:
        break
    taken += 4 * MiB * len(chunk)
    # Where one of them was killed, the others got what it had.
    if taken > share * 1.2 and os.waitpid(-1, os.WNOHANG)[0]:
        break
    if taken > share * 1.2:
        print('OPEN has', taken // MiB, 'MiB', flush=True)
        os.killpg(0, signal.SIGKILL)
print(taken // MiB, 'MiB')
hold()`),
  },
  {
    id: 'mapped-memory',
    area,
    says: 'have more memory than its share by pages of mapped files',
    ...memory,
    endsRun: ['crashed', 'wire-broken', 'folder-full'],
    program: bomb(`
held = []
size = limits['fileBytesMax']
for number in range(48):
    try:
        with open('/workspace/group/mapped-%d' % number, 'w+b') as file:
            file.truncate(size)
            held.append(mmap.mmap(file.fileno(), size))
            held[-1].write(b'x' * size)
    except (OSError, ValueError) as error:
        print(error)
        break
    if over():
        break
print(len(held) * size // MiB, 'MiB of pages')
if len(held) == 48:
    print('OPEN nothing stopped it')
hold()`),
  },
  {
    id: 'memory-disks',
    area,
    says: 'fill /tmp, /dev/shm or another disk in memory beyond its bound, by bytes or by files',
    endsRun,
    program: bomb(`
bounds = {'/tmp': limits['tmpBytesMax'], '/dev/shm': limits['shmBytesMax']}
with open('/proc/self/mounts') as mounts:
    disks = {line.split()[1] for line in mounts if line.split()[2] in ('tmpfs', 'ramfs', 'mqueue', 'hugetlbfs')}
for disk in sorted(disks | set(bounds)):
    if not os.access(disk, os.W_OK):
        continue
    bound = bounds.get(disk, 2 * MiB)
    total, last = 0, 0
    for number in range(40):
        taken, last = fill('%s/fill-%d' % (disk, number), min(8 * MiB, bound * 2 - total))
        total += taken
        if last == errno.ENOSPC or total >= bound * 2:
            break
    print(disk, total // 1024, 'kB', last)
    if total > bound:
        print('OPEN more than its bound in', disk)
    files = 0
    try:
        while files < 20000 and not over():
            open('%s/inode-%d' % (disk, files), 'w').close()
            files += 1
    except OSError as error:
        last = error
    print(disk, files, 'empty files', last)
hold()`),
    held: ({ output }) => /^\/tmp \d{4,} kB/m.test(output),
  },
  {
    id: 'huge-file',
    area,
    says: 'make one file larger than its bound, by writing, by a hole, or by reserving',
    program: bomb(`
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
bound = limits['fileBytesMax']
for folder in ('/workspace/group', '/home/agent', '/tmp', '/workspace/ipc/out'):
    path = folder + '/huge.tmp'
    taken, stopped = fill(path, bound * 2)
    if taken > bound:
        print('OPEN', folder, taken)
    os.unlink(path)
    ways = {
        'truncate': lambda handle: os.ftruncate(handle, 10 << 30),
        'seek': lambda handle: (os.lseek(handle, 10 << 30, 0), os.write(handle, b'x')),
        'reserve': lambda handle: os.posix_fallocate(handle, 0, bound * 2),
    }
    for name, way in ways.items():
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            way(handle)
        except OSError as error:
            stopped = error
        size = os.fstat(handle).st_size
        if size > bound:
            print('OPEN', name, folder, size)
        os.close(handle)
        os.unlink(path)
    print(folder, taken // MiB, 'MiB', stopped)
hold()`),
  },
  ...['/workspace/group', '/home/agent', '/workspace/ipc/out'].map(
    (folder): Assault => ({
      id: `disk-fill-${folder.split('/').at(-1)}`,
      area,
      says: `fill the disk with large files in ${folder}`,
      endsRun: ['folder-full'],
      program: bomb(`
total = 0
# What it may have, and sixteen times as much: then nothing has stopped it.
for number in range(64):
    total += fill('${folder}/fill-%d.tmp' % number, 16 * MiB)[0]
    print(total // MiB, 'MiB', flush=True)
    time.sleep(0.05)
    if over() and total > 128 * MiB:
        time.sleep(2)
        print('OPEN it goes on')
        break
hold()`),
    }),
  ),
  {
    id: 'file-fill',
    area,
    says: 'fill the disk with files without end',
    endsRun: ['folder-full'],
    program: bomb(`
count = 0
for number in range(400):
    folder = '/workspace/group/many-%d' % number
    os.mkdir(folder)
    for name in range(250):
        open('%s/%d' % (folder, name), 'w').close()
        count += 1
    if count % 5000 == 0:
        print(count, 'files', flush=True)
print('OPEN', count, 'files')
hold()`),
  },
  {
    id: 'deleted-files',
    area,
    says: 'use up the disk by files that are deleted and still open',
    open: {
      any: 'Nobody counts them but the disk: when it has less than 1 GiB left, agents are stopped, and with them their files go. Where that is too late, give the groups a disk or a quota of their own.',
    },
    program: bomb(`
held, total = [], 0
for number in range(8):
    file = open('/workspace/group/gone', 'wb', 0)
    held.append(file)
    os.unlink('/workspace/group/gone')
    for _ in range(16):
        total += file.write(bytes(MiB))
hold()
time.sleep(1)
print('OPEN', total // MiB, 'MiB')`),
  },
  {
    id: 'open-files',
    area,
    says: 'take open files, pipes, locks, queues or watches away from others',
    endsRun,
    withNewcomer: true,
    program: bomb(`
libc = ctypes.CDLL(None)
held = []
ways = {
    'files': lambda: os.open('/etc/passwd', os.O_RDONLY),
    'pipes': lambda: os.pipe(),
    'sockets': lambda: socket.socketpair(),
    'watches': lambda: libc.inotify_init(),
    'polls': lambda: libc.epoll_create(1),
    'timers': lambda: libc.timerfd_create(0, 0),
    'terminals': lambda: os.openpty(),
    'memory files': lambda: os.memfd_create('x'),
}
for name, way in ways.items():
    child = os.fork()
    if child == 0:
        count = 0
        try:
            while count < limits['openFilesMax'] * 2:
                made = way()
                if made == -1:
                    break
                held.append(made)
                count += 1
        except OSError as error:
            print(error)
        print(name, count, flush=True)
        if count > limits['openFilesMax']:
            print('OPEN more than the limit of', name)
        hold()
        os._exit(0)
for number in range(20):
    if os.fork() == 0:
        try:
            while True:
                held.append(os.open('/etc/passwd', os.O_RDONLY))
        except OSError:
            hold()
        os._exit(0)
hold()`),
    held: ({ output }) => /^files \d{3}/m.test(output),
  },
  {
    id: 'cpu-spin',
    area,
    says: 'keep others from the processor',
    withNewcomer: true,
    program: bomb(`
for number in range((os.cpu_count() or 2) * 4):
    if os.fork() == 0:
        try:
            os.nice(-20)
            print('OPEN more urgent than others')
        except OSError:
            pass
        while not over():
            for _ in range(100000):
                pass
        os._exit(0)
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    print('OPEN ran in real time')
except OSError as error:
    print(error)
hold()`),
  },
  {
    id: 'disk-thrash',
    area,
    says: 'keep others from the disk by writing and flushing without pause',
    program: bomb(`
for number in range(4):
    if os.fork() == 0:
        with open('/workspace/group/thrash-%d' % number, 'wb', 0) as file:
            while not over():
                file.seek(0)
                file.write(os.urandom(256 * 1024))
                os.fsync(file.fileno())
        os._exit(0)
hold()`),
  },
  {
    id: 'log-flood',
    area,
    says: "make the host keep what it floods the runner's standard error with",
    endsRun,
    program: bomb(`
print(in_runner(r'''(async () => {
    const line = 'x'.repeat(65535) + '\\n';
    for (let count = 0; count < 256; count += 1)
        await new Promise((done) => process.stderr.write(line, done));
    return 'FLOODED';
})()'''))
hold()`),
    held: ({ output }) => output.includes('FLOODED'),
  },
];
