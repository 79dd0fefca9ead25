/** What an agent tries to reach without the wire: the host's ports and sockets, the world. */
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
];
