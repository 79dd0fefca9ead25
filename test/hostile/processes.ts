/** Attacks on processes: privileges, memory and descriptors, signals, /proc. */
import type { Check } from './check.ts';

const area = 'processes';

export const processChecks: Check[] = [
  {
    id: 'privileges',
    area,
    says: 'have or gain privileges: capabilities, root, set-uid programs',
    mild: true,
    program: {
      language: 'bash',
      code: `
for status in /proc/[0-9]*/status; do
  while read -r key value _; do
    case $key in
      Uid:) [ "$value" != 0 ] || echo "OPEN $status runs as root" ;;
      CapEff:|CapPrm:|CapAmb:|CapInh:) [ "$value" = 0000000000000000 ] || echo "OPEN $status $key $value" ;;
      NoNewPrivs:) [ "$value" = 1 ] || echo "OPEN $status may gain privileges" ;;
      Seccomp:) [ "$value" = 2 ] || echo "OPEN $status has no filter" ;;
    esac
  done < "$status"
done 2>/dev/null | sort | uniq -c | sort -rn | head -20 | sed 's/^ *[0-9]* //'
cat /proc/self/uid_map
for try in "su -c id" "sudo -n id" "setpriv --reuid 0 id" "newgrp root -c id" "unshare -r id" "unshare -m id" "nsenter -t 1 -a id" "runuser -u root id" "pkexec id"; do
  answer=$(timeout 5 $try 2>/dev/null </dev/null) && case $answer in uid=*) echo "OPEN $try: $answer" ;; esac
done
true`,
    },
  },
  {
    id: 'memory-of-others',
    area,
    says: 'find a secret in the memory, environment or command line of any process it sees',
    mild: true,
    program: {
      language: 'python',
      code: `
import glob, os, re, time
wanted = re.compile(b'planted-[0-9]+-[0-9a-f-]{36}|the-real-ke' + b'y')
found, read, until = set(), 0, time.time() + 4
for path in glob.glob('/proc/[0-9]*'):
    if path == '/proc/%d' % os.getpid():
        continue
    for name in ('environ', 'cmdline'):
        try:
            with open('%s/%s' % (path, name), 'rb') as file:
                text = file.read()
            read += len(text)
            found.update((path, word) for word in wanted.findall(text))
        except OSError:
            pass
    try:
        with open(path + '/maps') as maps, open(path + '/mem', 'rb', 0) as mem:
            for line in maps:
                bounds, mode, *_ = line.split()
                if 'rw' not in mode or time.time() > until:
                    continue
                start, end = (int(part, 16) for part in bounds.split('-'))
                for at in range(start, end, 1 << 22):
                    try:
                        mem.seek(at)
                        text = mem.read(min(1 << 22, end - at))
                    except (OSError, OverflowError, ValueError):
                        break
                    read += len(text)
                    found.update((path, word) for word in wanted.findall(text))
    except OSError as error:
        print(path, error)
print(read, 'bytes read')
for path, word in sorted(found)[:20]:
    print('OPEN', path, word.decode())`,
    },
    held: ({ output }) => Number(/(\d+) bytes read/.exec(output)?.[1]) > 0,
  },
  {
    id: 'descriptors',
    area,
    says: "use a file or socket of the host that was left open for its container's processes",
    program: {
      language: 'python',
      code: `
import glob, os, re
own = re.compile(r'(/dev/(null|zero|urandom|random|pts/.*|ptmx|tty|shm/.*)|/workspace/.*|/home/agent/?.*|/tmp/.*|/usr/.*|/opt/.*|/proc/.*|/|pipe:.*|anon_inode:.*|/memfd:.*)$')
# gVisor names the sockets of the wire so.
wires = re.compile(r'host:\\[[123]\\]$')
inside = set()
for name in ('tcp', 'tcp6', 'udp', 'udp6', 'unix', 'netlink', 'raw', 'raw6', 'packet', 'icmp', 'icmp6'):
    try:
        with open('/proc/net/' + name) as table:
            inside.update(re.findall(r'\\d+', table.read()))
    except OSError:
        pass
def target(path):
    try:
        return os.readlink(path)
    except OSError:
        return None
wire = {target('/proc/1/fd/%d' % number) for number in range(3)}
for pid in filter(str.isdigit, os.listdir('/proc')):
    for path in glob.glob('/proc/%s/fd/*' % pid):
        leads = target(path)
        if leads is None or own.match(leads) or wires.match(leads) and path.split('/')[-1] in '012':
            continue
        socket = re.match(r'socket:\\[(\\d+)\\]', leads)
        if socket and (socket.group(1) in inside or leads in wire or path.split('/')[-1] in '012'):
            continue
        print('OPEN', path, leads, open('/proc/%s/comm' % pid).read().strip())
print('looked')`,
    },
  },
  {
    id: 'signals',
    area,
    says: 'signal or see a process outside',
    program: {
      language: 'python',
      code: `
import os, signal
victim = int(os.environ['HOST_PID'])
seen = {int(name) for name in os.listdir('/proc') if name.isdigit()}
print(len(seen), 'processes seen')
if len(seen) > 40 or victim in seen:
    print('OPEN sees others')
try:
    os.kill(victim, signal.SIGUSR1)
    print('OPEN signalled', victim)
except OSError as error:
    print(error)
for pid in range(2, 70000):
    if pid in seen:
        continue
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        continue
    except PermissionError:
        pass
    if not os.path.exists('/proc/%d' % pid):
        continue
    status = open('/proc/%d/status' % pid).read()
    if 'Tgid:\\t%d\\n' % pid in status:
        print('OPEN signalled', pid, status[:40])`,
    },
  },
  {
    id: 'proc-files',
    area,
    says: 'read or write the files of /proc and /sys that concern the whole machine',
    program: {
      language: 'bash',
      code: `
for path in /proc/kcore /proc/kmsg /dev/kmsg /dev/mem /dev/kmem /dev/port /proc/kpagemap /proc/kpagecount /proc/vmallocinfo /proc/slabinfo /sys/kernel/debug/. /sys/kernel/tracing/. /sys/firmware/acpi/tables/DSDT /proc/1/root/etc/shadow; do
  answer=$(timeout 2 head -c 16 "$path" 2>/dev/null | wc -c)
  if [ "$answer" -gt 0 ]; then echo "OPEN read $path"; fi
done
for path in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sys/vm/overcommit_memory /proc/sys/fs/binfmt_misc/register /proc/sys/kernel/ns_last_pid /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ping_group_range /proc/sys/user/max_user_namespaces /proc/irq/0/smp_affinity /proc/mtrr /proc/scsi/scsi /proc/acpi/wakeup /proc/bus/pci/devices /sys/kernel/uevent_helper /sys/power/state /sys/fs/cgroup/release_agent /sys/kernel/mm/transparent_hugepage/enabled /sys/class/leds; do
  if (: >> "$path") 2>/dev/null; then echo "OPEN can write $path"; fi
done
for path in /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; do
  if (echo 0 0 1 > $path) 2>/dev/null; then echo "OPEN wrote $path"; fi
done
mkdir /sys/fs/cgroup/hostile 2>/dev/null && echo "OPEN made a cgroup"
if grep -qv '^0* ' /proc/kallsyms 2>/dev/null; then echo "OPEN addresses of the kernel in kallsyms"; fi
for link in /proc/1/root /proc/1/cwd /proc/1/exe; do ls -la $link 2>&1 | head -1; [ -e $link/root/.ssh -o -e "$link$HOST_HOME_FILE" ] && echo "OPEN $link leads out"; done
tr '\\0' '\\n' < /proc/1/environ 2>/dev/null | grep -v -e '^NANOCLAW_CONTAINER=' -e '^PATH=' -e '^HOME=' | head -20
true`,
    },
  },
  {
    id: 'pressure',
    area,
    says: "set a watch on the machine's load in /proc/pressure",
    mild: true,
    open: {
      docker:
        'docker has no flag for it. An agent can see how busy the machine is, and be told when that changes; it can change nothing.',
    },
    program: {
      language: 'python',
      code: `
import os
for name in ('cpu', 'io', 'memory'):
    path = '/proc/pressure/' + name
    try:
        watch = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        os.write(watch, b'some 150000 2000000\\n')
        print('OPEN', path)
    except OSError as error:
        print(error)`,
    },
  },
  {
    id: 'shared-memory',
    area,
    says: 'see shared memory, message queues or semaphores of the host',
    mild: true,
    program: {
      language: 'bash',
      code: `
for table in shm msg sem; do
  tail -n +2 /proc/sysvipc/$table 2>/dev/null | sed "s/^/OPEN $table/"
done
[ ! -e "$HOST_SHM_FILE" ] || echo "OPEN $HOST_SHM_FILE: $(cat "$HOST_SHM_FILE")"
true`,
    },
  },
  {
    id: 'host-paths',
    area,
    says: 'learn where on the host its folders lie',
    open: {
      any: '/proc/self/mountinfo names them, and so perhaps your user name. It gives no way there.',
    },
    program: {
      language: 'bash',
      code: `grep "$(basename "$HOST_STATE")" /proc/self/mountinfo | sed 's/^/OPEN /'; true`,
    },
  },
  {
    id: 'machine',
    area,
    says: 'learn which kernel runs here, and how much memory and load the machine has',
    open: {
      any: 'The kernel is shared: it tells its release and the sums of the whole machine to every process. Only gVisor has a kernel of its own.',
    },
    mild: true,
    program: {
      language: 'bash',
      code: `[ "$(uname -r)" != "$HOST_KERNEL" ] || echo "OPEN $(uname -r)"; cat /proc/loadavg; head -2 /proc/meminfo`,
    },
  },
  {
    id: 'terminal',
    area,
    says: 'type into a terminal of the host',
    program: {
      language: 'python',
      code: `
import fcntl, glob, os, termios
for path in ['/dev/tty', '/dev/console', '/dev/tty0', '/dev/tty1', '/dev/vcs'] + glob.glob('/dev/pts/[0-9]*') + glob.glob('/proc/[0-9]*/fd/[012]'):
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        continue
    if os.isatty(handle):
        try:
            fcntl.ioctl(handle, termios.TIOCSTI, b'x')
            print('OPEN typed into', path)
        except OSError as error:
            print('OPEN opened the terminal', path, error)
    os.close(handle)
print('looked')`,
    },
  },
];
