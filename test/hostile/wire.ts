/**
 * Attacks through the agent's only wire: as a client of the runner's proxy, and in place of the
 * runner, which the agent can take over. At most the agent's own run may end.
 */
import type { RunEndReason } from '../../src/types.ts';
import { unanswered } from '../scripted-model/scripted-model.ts';
import type { App } from '../support/app.ts';
import { assault } from './assault.ts';
import type { Assault } from './siege.ts';

const area = 'wire';
const floodBytes = 256 * 1024 ** 2;
const noticesMax = 6;
const hostsMax = 2000;

/** Has the model answer `flood me` with 256 MiB. */
export function openFlood(app: App): void {
  app.model.on('flood me').answer(({ response }) => {
    const chunk = Buffer.alloc(64 * 1024, '.');
    let left = floodBytes;
    const pour = () => {
      for (; left > 0; left -= chunk.length)
        if (response.destroyed || !response.write(chunk)) {
          left -= chunk.length;
          response.once('drain', pour);
          return;
        }
      response.end();
    };
    response.on('error', () => {}); // The client leaves early.
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    pour();
    return unanswered;
  });
}

/** Python: a client of the runner's proxy. */
const client = `
def dial(data=b'', timeout=5):
    connection = socket.create_connection(('127.0.0.1', 8100), timeout)
    connection.sendall(data)
    return connection
def first_line(data):
    try:
        with dial(data) as connection:
            return connection.recv(4096).split(b'\\r\\n')[0].decode('latin1')
    except OSError as error:
        return str(error)
question = json.dumps({'model': 'm', 'messages': [{'role': 'user', 'content': 'flood me'}]}).encode()
def post(path, length):
    return b'POST %s HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: %d\\r\\n\\r\\n' % (path, length)
flood = post(b'/v1/messages', len(question)) + question
`;

const asClient = (code: string) => assault(client + code);

/** JavaScript for the runner: sends HTTP/2 frames of its own beside those of the session. */
const frames = `
const frame = (type, flags, stream, payload = Buffer.alloc(0)) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
const send = (bytes) => new Promise((done) => {
  if (process.stdout.write(bytes)) setImmediate(done);
  else process.stdout.once('drain', done);
});
// POST / of http://x, not indexed in the compression table.
const open = Buffer.from([0x83, 0x84, 0x86, 0x01, 1, 0x78]);
let id = (1 << 20) + 1;`;

/** A program in which the runner runs \`code\` repeatedly until the wire breaks. */
function asRunner(code: string, rounds: number): Assault['program'] {
  return assault(`
def flood():
    print(in_runner(r'''(async () => { ${frames}
for (let round = 0; round < ${rounds}; round += 1) { ${code} }
return 'SENT ALL'; })()'''), flush=True)
thread = threading.Thread(target=flood, daemon=True)
thread.start()
thread.join(3)
hold()`);
}

const ends: RunEndReason[] = ['wire-broken', 'crashed'];

function frameFlood(id: string, what: string, code: string, rounds: number): Assault {
  return {
    id: `wire-${id}`,
    area,
    says: `hurt the host or others, in the place of its runner, by ${what} on the wire`,
    endsRun: ends,
    program: asRunner(code, rounds),
  };
}

const many = (count: number, each: string) =>
  `await send(Buffer.concat(Array.from({ length: ${count} }, () => { ${each} })));`;

export const wireChecks: Assault[] = [
  {
    id: 'proxy-garbage',
    area,
    says: 'break its proxy for others with garbage, half requests, long heads or pipelines',
    program: asClient(`
tries = {
    'garbage': os.urandom(1 << 20),
    'no end': b'GET http://example.com/' + b'a' * (1 << 20),
    'long header': b'GET / HTTP/1.1\\r\\nhost: ' + b'a' * (1 << 20),
    'many headers': b'GET / HTTP/1.1\\r\\n' + b'a: b\\r\\n' * 200000,
    'two lengths': b'POST /v1/messages HTTP/1.1\\r\\ncontent-length: 1\\r\\ncontent-length: 2\\r\\n\\r\\n',
    'smuggled': b'POST /v1/messages HTTP/1.1\\r\\ntransfer-encoding: chunked\\r\\ncontent-length: 4\\r\\n\\r\\n0\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n',
    'bad chunks': b'POST /v1/messages HTTP/1.1\\r\\ntransfer-encoding: chunked\\r\\n\\r\\nffffffffffffffff\\r\\n' + b'a' * 100000,
    'HTTP/2': b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes(4096),
    'TLS': bytes.fromhex('16030100c8010000c40303') + os.urandom(4096),
    'upgrade': b'GET / HTTP/1.1\\r\\nhost: x\\r\\nupgrade: websocket\\r\\nconnection: upgrade\\r\\n\\r\\n' + bytes(4096),
    'pipeline': post(b'/v1/nothing', 0) * 10000,
    'expect': b'POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\nexpect: 100-continue\\r\\ncontent-length: 99999999\\r\\n\\r\\n',
}
for name, data in tries.items():
    print(name + ':', first_line(data), flush=True)
slow = [dial(b'POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: 1000\\r\\n') for _ in range(60)]
for _ in range(5):
    for connection in slow:
        connection.sendall(b'a: b\\r\\n')
    time.sleep(0.05)
hold()`),
    held: ({ output }) => /^upgrade: HTTP\/1.1 403/m.test(output),
  },
  {
    id: 'proxy-connections',
    area,
    says: 'take the way out away from others by ten thousand connections',
    endsRun: ends,
    program: asClient(`
held, failed = [], 0
def connect():
    global failed
    mine = []
    for number in range(1000):
        try:
            mine.append(dial(b'POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\n', 1))
        except OSError:
            failed += 1
            if len(mine) > 50:
                mine.pop(0).close()
        if over():
            break
    held.extend(mine)
threads = [threading.Thread(target=connect, daemon=True) for _ in range(10)]
for thread in threads:
    thread.start()
threads[0].join(2)
print(len(held), 'held,', failed, 'failed')
hold()`),
  },
  {
    id: 'proxy-hosts',
    area,
    says: 'flood ledger, log or owner by reaching for host after host',
    program: asClient(`
answers = {}
for number in range(100):
    answer = first_line(b'CONNECT host-%d.example:443 HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n' % number)
    answer = answer.replace('host-%d.example' % number, 'HOST')
    answers[answer] = answers.get(answer, 0) + 1
for answer, count in answers.items():
    print(count, answer)
hold()`),
    held: ({ output }) => /^\d{2,} HTTP\/1.1 403 HOST is not among/m.test(output),
    afterwards: (app) => {
      const count = (sql: string) => app.rows(sql).length;
      const entries = count("SELECT 1 FROM ledger WHERE folder = 'mallory'");
      const notices = count("SELECT 1 FROM outbox WHERE chat_id = 'terminal:main'");
      return [
        ...(entries > hostsMax ? [`the ledger has ${entries} entries of it`] : []),
        ...(notices > noticesMax ? [`the owner was told ${notices} times`] : []),
      ];
    },
  },
  {
    id: 'proxy-bytes-up',
    area,
    says: 'fill the host’s memory with what it sends',
    // The agent's runner may run out of memory.
    endsRun: ends,
    program: asClient(`
chunk = bytes(MiB)
def pour(path, length, times):
    sent = 0
    try:
        with dial(post(path, length)) as connection:
            for _ in range(times):
                connection.sendall(chunk)
                sent += len(chunk)
            answer = connection.recv(100).split(b'\\r\\n')[0]
    except OSError as error:
        answer = error
    print(path, sent // MiB, 'MiB', answer, flush=True)
pour(b'/v1/nothing', 1 << 30, 16)
pour(b'/v1/messages', 1 << 40, 48)
pour(b'/v1/messages/count_tokens', 8 * MiB, 8)
# Many at once, none of which ends.
held = []
for _ in range(60):
    if time.time() - began > 12:
        break # A busy machine.
    try:
        connection = dial(post(b'/v1/messages', 30 * MiB), 0.1)
        held.append(connection)
        for _ in range(20):
            connection.sendall(chunk)
    except OSError:
        pass
print(len(held), 'uploads held')
hold()`),
    held: ({ output }) => /count_tokens' 8 MiB b'HTTP\/1.1 200/.test(output),
  },
  {
    id: 'proxy-bytes-down',
    area,
    says: 'fill the host’s memory with answers that it never reads, nor when its runner stands still',
    program: asClient(`
with dial(flood) as connection:
    received = 0
    while received < 16 * MiB:
        chunk = connection.recv(1 << 20)
        if not chunk:
            break
        received += len(chunk)
    print(received // MiB, 'MiB came', flush=True)
held = [dial(flood) for _ in range(50)]
time.sleep(0.5)
os.kill(runner(), signal.SIGSTOP)
hold()
os.kill(runner(), signal.SIGCONT)`),
    held: ({ output }) => /^16 MiB came/m.test(output),
  },
  {
    id: 'runner-killed',
    area,
    says: 'harm others by killing its runner',
    endsRun: ends,
    program: assault(`
os.kill(runner(), signal.SIGKILL)
hold()`),
  },
  {
    id: 'runner-opened',
    area,
    says: "reach the wire's own stream from beside the runner and write into it unnoticed",
    endsRun: ends,
    open: {
      docker:
        "There the wire is a pipe, which a process of the same user can open. It is the agent's own wire: what it writes there ends its run, and nothing else.",
      podman:
        "There the wire is a pipe, which a process of the same user can open. It is the agent's own wire: what it writes there ends its run, and nothing else.",
    },
    program: assault(`
for name in ('/proc/1/fd/1', '/proc/%d/fd/1' % runner()):
    try:
        handle = os.open(name, os.O_WRONLY | os.O_NONBLOCK)
        print('OPEN', name, flush=True)
        time.sleep(0.2)
        for _ in range(100):
            os.write(handle, os.urandom(65536))
    except OSError as error:
        print(name, error)
hold()`),
  },
  frameFlood(
    'garbage',
    'garbage',
    'await send(Buffer.from(Array.from({ length: 65536 }, () => Math.random() * 256)));',
    100,
  ),
  frameFlood(
    'streams',
    'ten thousand streams',
    many(100, 'return frame(1, 4, (id += 2), open);'),
    100,
  ),
  frameFlood(
    'resets',
    'streams that it opens and resets',
    many(
      200,
      'id += 2; return Buffer.concat([frame(1, 4, id, open), frame(3, 0, id, Buffer.alloc(4))]);',
    ),
    500,
  ),
  frameFlood(
    'settings',
    'settings without end',
    many(1000, 'return frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]));'),
    500,
  ),
  frameFlood(
    'pings',
    'pings without end',
    many(1000, 'return frame(6, 0, 0, Buffer.alloc(8));'),
    500,
  ),
  frameFlood(
    'continuations',
    'headers that never end',
    'if (round === 0) await send(frame(1, 0, id, open)); await send(frame(9, 0, id, Buffer.concat([Buffer.from([0x00, 1, 0x61, 0x7f, 0x81, 0x7e]), Buffer.alloc(16000, 0x61)])));',
    5000,
  ),
  frameFlood(
    'windows',
    'windows that it opens beyond their bound',
    'await send(Buffer.concat([frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])), frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])), frame(8, 0, 1, Buffer.from([0x7f, 0xff, 0xff, 0xff]))]));',
    100,
  ),
  frameFlood(
    'data',
    'more bytes than the host has asked for',
    'if (round === 0) await send(frame(1, 4, id, open)); await send(frame(0, 0, id, Buffer.alloc(16000, 0x61)));',
    50_000,
  ),
];
