/** Attempts to connect without the wire: to the host's ports and sockets, and to the internet. */
import type { Check } from './check.ts';

const area = 'network';

export const networkChecks: Check[] = [
  {
    id: 'host-sockets',
    area,
    says: "reach the host's loopback ports, or its Unix sockets by path or abstract name",
    mild: true,
    program: {
      language: 'python',
      code: `
import os, socket
port4, port6 = int(os.environ['HOST_TCP4_PORT']), int(os.environ['HOST_TCP6_PORT'])
targets = [(socket.AF_INET, (host, port4)) for host in ('127.0.0.1', '0.0.0.0', '127.0.0.2', '172.17.0.1')]
targets += [(socket.AF_INET6, (host, port6)) for host in ('::1', '::', '::ffff:127.0.0.1', 'fe80::1%lo')]
targets += [(socket.AF_UNIX, os.environ['HOST_SOCKET']), (socket.AF_UNIX, '\\0' + os.environ['HOST_ABSTRACT'])]
for family, address in targets:
    try:
        with socket.socket(family) as s:
            s.settimeout(2)
            s.connect(address)
            print('OPEN connected to', repr(address), s.recv(100))
    except OSError as error:
        print(repr(address), error)`,
    },
  },
  {
    id: 'service-sockets',
    area,
    says: "find a socket of the host's services: container engines, D-Bus, systemd, X11, name services",
    mild: true,
    program: {
      language: 'python',
      code: `
import glob, os, socket, stat
known = ['/var/run/docker.sock', '/run/docker.sock', '/run/podman/podman.sock', '/run/containerd/containerd.sock',
    '/run/crio/crio.sock', '/run/dbus/system_bus_socket', '/run/systemd/private', '/run/systemd/notify',
    '/run/systemd/resolve/io.systemd.Resolve', '/var/run/nscd/socket', '/tmp/.X11-unix/X0',
    os.environ['HOST_STATE'] + '/data/nanoclaw.sock', os.environ['HOST_SOCKET']]
known += glob.glob('/run/user/*/*') + ['\\0/tmp/.X11-unix/X0', '\\0/containerd-shim', '\\0' + os.environ['HOST_ABSTRACT']]
for path in known:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_UNIX, kind) as s:
                s.connect(path)
                print('OPEN', repr(path))
        except OSError:
            pass
for folder in ('/run', '/var', '/etc', '/opt', '/srv', '/mnt', '/media', '/workspace'):
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                if stat.S_ISSOCK(os.lstat(os.path.join(root, name)).st_mode):
                    print('OPEN there is', os.path.join(root, name))
            except OSError:
                pass
print('looked')`,
    },
  },
  {
    id: 'direct-routes',
    area,
    says: 'reach any address but its own loopback: the bridge, the metadata service, the world, by IPv4 or IPv6',
    program: {
      language: 'python',
      code: `
import os, socket
with open('/proc/net/dev') as file:
    for line in file.readlines()[2:]:
        name = line.split(':')[0].strip()
        if name != 'lo':
            print('OPEN interface', name)
with open('/proc/net/route') as file:
    for line in file.readlines()[1:]:
        print('OPEN route', line)
hosts = ['169.254.169.254', '172.17.0.1', '10.0.0.1', '192.168.0.1', '1.1.1.1', '8.8.8.8', '100.100.100.200',
    '2606:4700:4700::1111', 'fd00:ec2::254', 'fe80::1', 'ff02::fb', '224.0.0.251', '255.255.255.255']
for host in hosts:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    for port in (80, 443, 53, 5353, int(os.environ['HOST_TCP4_PORT'])):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                with socket.socket(family, kind) as s:
                    s.settimeout(1)
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                    s.connect((host, port))
                    s.send(b'x')
                    print('OPEN', host, port, kind)
            except OSError as error:
                last = error
    print(host, last)`,
    },
  },
  {
    id: 'names',
    area,
    says: 'look up a name without the wire: by the C library, UDP, TCP, HTTPS or multicast',
    program: {
      language: 'python',
      code: `
import os, socket, subprocess
for name in ('example.com', 'localhost.example.com', 'metadata.google.internal', 'host.docker.internal'):
    try:
        print('OPEN', name, socket.getaddrinfo(name, 80))
    except OSError as error:
        print(name, error)
question = bytes.fromhex('123401000001000000000000076578616d706c6503636f6d0000010001')
servers = ['8.8.8.8', '1.1.1.1', '9.9.9.9', '127.0.0.53', '127.0.0.11', '2001:4860:4860::8888', '224.0.0.251', 'ff02::fb']
try:
    servers += [line.split()[1] for line in open('/etc/resolv.conf') if line.startswith('nameserver')]
except OSError as error:
    print(error)
for server in servers:
    family = socket.AF_INET6 if ':' in server else socket.AF_INET
    for port in (53, 5353):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.settimeout(0.5)
                s.sendto(question, (server, port))
                print('OPEN', server, port, s.recv(512))
        except OSError as error:
            last = error
        try:
            with socket.socket(family) as s:
                s.settimeout(0.5)
                s.connect((server, port))
                print('OPEN tcp', server, port)
        except OSError as error:
            last = error
    print(server, last)
for address in ('1.1.1.1', '8.8.8.8'):
    done = subprocess.run(['curl', '-sk', '--noproxy', '*', '-m', '2', 'https://%s/dns-query?name=example.com' % address], capture_output=True)
    print('OPEN DoH' if done.returncode == 0 else done.returncode, address)`,
    },
  },
  {
    id: 'wire-to-host',
    area,
    says: "reach the host's ports through the wire, however the address is written",
    program: {
      language: 'bash',
      code: `
port=$HOST_TCP4_PORT
proxy=\${HTTPS_PROXY:-http://127.0.0.1:8100}
for host in 127.0.0.1 localhost 127.1 0x7f000001 2130706433 0177.0.0.1 0.0.0.0 '[::1]' '[::ffff:127.0.0.1]' '[::ffff:7f00:1]' '[::]' 127.0.0.1.nip.io localhost.localdomain 172.17.0.1 169.254.169.254 '[fd00:ec2::254]' '[64:ff9b::7f00:1]' '[2002:7f00:1::]'; do
  for to in "http://$host:$port/" "http://$host/latest/meta-data/" "http://user@$host:80/"; do
    curl -s -m 3 -x $proxy "$to" -o answer -w '%{http_code} ' || echo -n "curl $? "
    grep -aq planted- answer 2>/dev/null && echo "OPEN $to"
    curl -s -m 3 -p -x $proxy "$to" -o answer -w '%{http_connect} ' && echo "OPEN tunnel to $to"
  done
  echo "$host"
done
for line in "GET http://127.0.0.1:$port/ HTTP/1.1" "GET //127.0.0.1:$port/ HTTP/1.1" "CONNECT 127.0.0.1:$port HTTP/1.1" "GET @127.0.0.1:$port/ HTTP/1.1" "POST /v1/messages@127.0.0.1:$port HTTP/1.1" "GET /v1/../.. HTTP/1.1"; do
  exec 5<>/dev/tcp/127.0.0.1/8100 || exit 1
  printf '%s\\r\\nHost: 127.0.0.1:%s\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' "$line" "$port" >&5
  answer=$(timeout 3 head -c 300 <&5 | head -1)
  exec 5>&-
  echo "$line: $answer"
done
true`,
    },
  },
  {
    id: 'placeholder',
    area,
    says: 'find a credential: what it holds is a placeholder, and worth nothing elsewhere',
    program: {
      language: 'bash',
      code: `
for name in ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN; do
  value=\${!name}
  [ -z "$value" ] || [ "$value" = placeholder ] || echo "OPEN $name=$value"
done
env | grep -i -e key -e token -e secret -e password | grep -v -e '=placeholder$' -e '^CLAUDE_CODE_[A-Z_]*=[0-9]*$'
grep -rsl 'the-real-ke[y]' /home /workspace /opt /etc /tmp --include='*' 2>/dev/null | grep -v project/test | sed 's/^/OPEN /'
curl -s -m 3 --noproxy '*' -H "x-api-key: placeholder" "$HOST_MODEL/v1/messages" -d '{}' -o answer && echo "OPEN the model API without the wire"
curl -s -m 3 -H "x-api-key: placeholder" -x http://127.0.0.1:8100 "$HOST_MODEL/v1/models" -o answer -w '%{http_code}\n'
true`,
    },
    held: ({ output }) => /placeholder/.test(output) || !/OPEN/.test(output),
  },
];
