/**
 * The Python code that the programs of all assaults share: when to continue and when to end, and
 * control of the agent-runner, which has the same user and so can be stopped, killed or taken over.
 */
import type { Assault } from './siege.ts';

const prelude = `
import ctypes, errno, json, mmap, os, signal, socket, struct, subprocess, sys, threading, time
MiB = 1 << 20
limits = json.loads(os.environ['LIMITS'])
began = time.time()
def over():
    return os.path.exists(os.environ['OVER']) or time.time() - began > 20
def ready():
    try:
        os.mkdir(os.environ['READY'])
    except OSError:
        pass
def hold():
    """With all that it has taken, until the others were answered."""
    ready()
    while not over():
        time.sleep(0.05)
def runner():
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with open('/proc/%s/cmdline' % pid, 'rb') as file:
            words = file.read().split(b'\\0')
        if words[0].endswith(b'node') and b'agent-runner.js' in b' '.join(words):
            return int(pid)
def in_runner(code):
    """Has the runner itself run JavaScript, by the inspector that a signal opens."""
    os.kill(runner(), signal.SIGUSR1)
    def ask(request):
        for _ in range(100):
            try:
                connection = socket.create_connection(('127.0.0.1', 9229), 10)
                break
            except OSError:
                time.sleep(0.05)
        connection.sendall(request.encode())
        return connection
    with ask('GET /json/list HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n') as connection:
        listed = b''
        while b']' not in listed:
            listed += connection.recv(65536)
    path = listed.decode().split('ws://localhost/')[1].split('"')[0]
    upgrade = 'Upgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Key: %s==\\r\\nSec-WebSocket-Version: 13' % ('A' * 22)
    connection = ask('GET /%s HTTP/1.1\\r\\nHost: localhost\\r\\n%s\\r\\n\\r\\n' % (path, upgrade))
    while b'\\r\\n\\r\\n' not in connection.recv(4096):
        pass
    message = json.dumps({'id': 1, 'method': 'Runtime.evaluate', 'params': {'expression': code, 'awaitPromise': True, 'returnByValue': True}}).encode()
    connection.sendall(b'\\x81' + struct.pack('>BH', 0x80 | 126, len(message)) + bytes(4) + message)
    answer = b''
    while b'"id":1' not in answer:
        chunk = connection.recv(65536)
        if not chunk:
            break
        answer += chunk
    return answer[4:400].decode('utf-8', 'replace')
print('ATTACKING', flush=True)
`;

/** A program that can use the shared code. */
export function assault(code: string): Assault['program'] {
  return { language: 'python', code: prelude + code };
}
