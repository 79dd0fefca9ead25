/**
 * Attacks through the folders that agent and host share. The agent's runner is stopped meanwhile,
 * so that only the program writes to them.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import type { App } from '../support/app.ts';
import { assault } from './assault.ts';
import type { Assault } from './siege.ts';
import type { World } from './world.ts';

const area = 'ipc';

const voice = `
OUT, IN = '/workspace/ipc/out', '/workspace/ipc/in'
libc = ctypes.CDLL(None, use_errno=True)
def path_of(number):
    return '%s/%06d.json' % (OUT, number)
def write(path, content):
    with open(path + '.tmp', 'wb') as file:
        file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    os.rename(path + '.tmp', path)
def put(number, content):
    write(path_of(number), content)
def ask(identity, tool, **args):
    return {'kind': 'request', 'requestId': identity, 'tool': tool, 'args': args}
def answers():
    found = {}
    for name in sorted(os.listdir(IN)):
        if name.endswith('.json'):
            with open(IN + '/' + name) as file:
                content = json.load(file)
            if content['kind'] == 'response':
                found[content['requestId']] = (content['ok'], content['text'])
    return found
def answer(name, seconds=8):
    until = time.time() + seconds
    while time.time() < until:
        found = answers().get(name)
        if found:
            return found
        time.sleep(0.02)
def exchange(one, other):
    libc.renameat2(-100, one.encode(), -100, other.encode(), 2)
# What the runner has said so far is at most this; then the next number is known.
os.kill(runner(), signal.SIGSTOP)
for number in range(1, 61):
    put(number, ask('find-%d' % number, 'react', message_id='none', emoji='x'))
if not answer('find-60'):
    sys.exit('the host does not listen')
turn = 61
def say(content):
    global turn
    put(turn, content)
    turn += 1
`;

const speak = (code: string) => assault(voice + code);

function textsTo(app: App, chatId: string): string[] {
  const rows = app.rows(`SELECT text FROM outbox WHERE chat_id = '${chatId}'`);
  return (rows as { text: string }[]).map(({ text }) => text);
}

/** New files beside the planted ones. */
function strangersBeside(world: World, facts: string[], own: RegExp): string[] {
  return facts.flatMap((fact) => {
    const folder = dirname(world.facts[fact] ?? '');
    const strangers = readdirSync(folder).filter((name) => own.test(name));
    return strangers.map((name) => `${name} was written into the folder of ${fact}`);
  });
}

export const ipcChecks: Assault[] = [
  {
    id: 'identity-claims',
    area,
    says: 'speak for another group, chat or agent by claiming to be it, nor use what is main’s',
    program: speak(`
other = 'terminal:neighbour'
claims = [
    {'kind': 'reply', 'text': 'FORGED', 'chatId': other},
    {'kind': 'reply', 'text': 'FORGED', 'group': 'main', 'agent': 'main', 'agentId': 'main', 'runId': 1},
    {**ask('chat', 'send_message', text='FORGED'), 'chatId': other},
    {**ask('agent', 'send_message', text='FORGED'), 'agent': {'id': 'main', 'group': {'isMain': True}}},
    ask('argument', 'send_message', text='FORGED', chat_id=other),
    ask('argument-2', 'send_message', text='FORGED', chatId=other, group='neighbour'),
    {**ask('request', 'send_message', text='FORGED'), 'group': 'main'},
    {'kind': 'turn_done', 'uuids': [], 'text': 'FORGED', 'error': None, 'sessionId': '../../neighbour', 'totalCostUsd': 0, 'inputTokens': 0, 'outputTokens': 0},
    {'kind': 'turn_done', 'uuids': ['%08x-0000-4000-8000-000000000000' % n for n in range(900)], 'text': 'FORGED', 'error': None, 'sessionId': 'x', 'totalCostUsd': 1e308, 'inputTokens': 1 << 52, 'outputTokens': 1 << 52},
    {'kind': 'prompt', 'uuid': '00000000-0000-4000-8000-000000000000', 'text': 'FORGED', 'images': []},
    {'kind': 'start', 'sessionId': None, 'instructions': 'FORGED'},
    ask('list', 'list_groups'),
    ask('register', 'register_group', chat_id=other, name='mine', folder='forged', requires_trigger=False),
    ask('register-2', 'register_group', chat_id='terminal:mallory', name='mine', folder='../main', requires_trigger=False),
    ask('react', 'react', message_id="' OR 1=1 --", emoji='x'),
]
for claim in claims:
    say(claim)
say(ask('last', 'react', message_id='none', emoji='x'))
print('last:', answer('last'))
for name, (ok, text) in answers().items():
    if not name.startswith('find-'):
        print('OPEN' if ok else '', name, text[:200])
hold()`),
    held: ({ output }) => /^last: \(False/m.test(output),
    afterwards: (app) => {
      const forged = app.rows("SELECT chat_id FROM outbox WHERE text LIKE '%FORGED%'");
      const groups = app.rows("SELECT folder FROM groups WHERE folder = 'forged' OR name = 'mine'");
      return [...forged, ...groups].map((row) => `it had an effect: ${JSON.stringify(row)}`);
    },
  },
  {
    id: 'numbers',
    area,
    says: 'have an effect twice, or out of order, by old, skipped, far or odd numbers',
    program: speak(`
def message(text):
    return ask(text, 'send_message', text=text)
say(message('once'))
print('once:', answer('once'))
for number in (turn - 1, 1, 60):
    put(number, message('replayed'))
put(turn + 3, message('skipped'))
for name in ('999999.json', '1000000.json', '000000.json', '0000%d.json' % turn + ' ', '%d.json' % turn, '+0%04d.json' % turn,
        '%06d.JSON' % turn, '%06d.json.json' % turn, '-00001.json', '0x0040.json', '%07d.json' % turn, '%06d.json\\n' % turn):
    write(OUT + '/' + name, message('odd ' + repr(name)))
time.sleep(0.3)
for number in (turn + 2, turn + 1, turn):
    put(number, message('shuffled-%d' % (number - turn)))
time.sleep(0.3)
# Again and again the same number, while it is read.
turn += 3
until = time.time() + 1
count = 0
while time.time() < until:
    number = turn - 3 + count % 4
    put(number, message('raced-%d' % number))
    count += 1
print(count, 'raced')
hold()`),
    held: ({ output }) => /^once: \(True/m.test(output),
    afterwards: (app) => {
      const texts = textsTo(app, 'terminal:mallory');
      const tries = /^(once|replayed|skipped|odd |shuffled|raced)/;
      const ours = texts.filter((text) => tries.test(text));
      const twice = ours.filter((text, index) => ours.indexOf(text) !== index);
      const wrong = ours.filter((text) => /^(replayed|skipped|odd )/.test(text));
      return [...twice.map((text) => `twice: ${text}`), ...wrong];
    },
  },
  {
    id: 'file-flood',
    area,
    says: 'drown the host in ten thousand files at once, nor its quarantine and log',
    program: speak(`
for number in range(10000):
    name = ['%s/%06d.json' % (OUT, 500000 + number), '%s/junk-%d' % (OUT, number), '%s/%s-%d' % (OUT, 'x' * 200, number)][number % 3]
    with open(name, 'wb') as file:
        file.write(b'x' * 64)
    if time.time() - began > 10:
        break # A busy machine.
print(number + 1, 'files')
for number in range(100):
    say({'kind': 'progress', 'text': 'x' * 500})
ready()
until = time.time() + 4
while len(os.listdir(OUT)) > 100 and time.time() < until:
    time.sleep(0.1)
print(len(os.listdir(OUT)), 'files left')
hold()`),
  },
  {
    id: 'event-flood',
    area,
    says: 'keep the host busy with news of its folder: a million changes a second',
    program: speak(`
for number in range(4):
    if os.fork() == 0:
        files = [os.open('%s/%d-%d.tmp' % (OUT, number, n), os.O_WRONLY | os.O_CREAT) for n in range(2)]
        while not over():
            for _ in range(1000):
                os.pwrite(files[0], b'x', 0)
                os.pwrite(files[1], b'x', 0)
        os._exit(0)
time.sleep(0.5)
hold()
if not os.path.exists(os.environ['OVER']):
    print('OPEN the host did nothing else')`),
  },
  {
    id: 'odd-files',
    area,
    says: 'stop or mislead the host by odd files: links, pipes, sockets, giants, folders, broken texts',
    program: speak(`
secret = os.environ['HOST_HOME_FILE']
def sparse(path, size):
    with open(path, 'wb') as file:
        file.truncate(size)
def hard_link(path):
    write(path[:-5], ask('linked', 'send_message', text='linked'))
    os.rename(path[:-5], path + '.tmp')
    os.link(path + '.tmp', path)
def bind(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
def plain(content):
    return lambda path: write(path, content)
kinds = {
    'link to a secret': lambda path: os.symlink(secret, path),
    'link to shadow': lambda path: os.symlink('/etc/shadow', path),
    'link to a file of its own': lambda path: os.symlink('/workspace/group/check/program.py', path),
    'link to itself': lambda path: os.symlink(path, path),
    'link to the next': lambda path: os.symlink(path_of(turn + 1), path),
    'link to a process': lambda path: os.symlink('/proc/self/environ', path),
    'pipe': os.mkfifo,
    'socket': bind,
    'hard link': hard_link,
    'giant': plain(b' ' * (2 << 20)),
    'hole': lambda path: sparse(path, limits['fileBytesMax']),
    'empty': plain(b''),
    'zeros': plain(bytes(4096)),
    'invalid UTF-8': plain(b'"\\xff\\xfe"'),
    'surrogates': plain(b'{"kind":"reply","text":"\\\\ud800"}'),
    'deep': plain(b'[' * 500000),
    'deep objects': plain(b'{"a":' * 150000),
    'many keys': plain(json.dumps({str(n): n for n in range(50000)}).encode()),
    'huge number': plain(b'1' * 900000),
    'prototype': plain(b'{"kind":"progress","text":"x","__proto__":{"kind":"reply"},"constructor":{"prototype":{}}}'),
    'closed': lambda path: (write(path, {'kind': 'progress', 'text': 'x'}), os.chmod(path, 0)),
    'wrong owner bits': lambda path: (write(path, {'kind': 'progress', 'text': 'x'}), os.chmod(path, 0o7777)),
}
went_on = 0
for name, plant in kinds.items():
    try:
        plant(path_of(turn))
    except OSError as error:
        print(name, error)
        write(path_of(turn), b'')
    turn += 1
    say(ask(name, 'react', message_id='none', emoji='x'))
    if answer(name):
        went_on += 1
    else:
        print('stuck at', name)
        break
print('went on after', went_on, 'of', len(kinds))
os.mkdir(OUT + '/folder')
os.mkdir(path_of(turn))
os.mkdir(path_of(turn) + '/000001.json')
hold()
print({name: text for name, (ok, text) in answers().items() if ok})`),
    held: ({ output }) => /^went on after (\d+) of \1$/m.test(output),
  },
  {
    id: 'swapped-files',
    area,
    says: 'have the host read what is not its own by swapping files while they are read',
    program: speak(`
secret = os.environ['HOST_HOME_FILE']
for target in ('x.tmp', 'y.tmp'):
    os.symlink(secret if target == 'x.tmp' else '/etc/shadow', OUT + '/' + target)
stop = False
def swap():
    while not stop:
        for target in ('x.tmp', 'y.tmp'):
            for number in range(turn, turn + 3):
                exchange(path_of(number), OUT + '/' + target)
threads = [threading.Thread(target=swap, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
until = time.time() + 3
while time.time() < until:
    # It stays at a number that is gone: whatever lies there was taken or refused.
    try:
        with open(OUT + '/z.tmp', 'wb') as file:
            file.write(json.dumps(ask('swapped-%d' % turn, 'react', message_id='none', emoji='x')).encode())
        os.rename(OUT + '/z.tmp', path_of(turn))
    except OSError as error:
        print(error)
    if not os.path.lexists(path_of(turn)):
        turn += 1
    time.sleep(0.001)
stop = True
print(turn - 61, 'numbers,', len(answers()) - 60, 'answers')
for name, (ok, text) in answers().items():
    if 'planted-' in text or 'root:' in text:
        print('OPEN', text)
hold()`),
    held: ({ output }) => Number(/^(\d+) numbers/m.exec(output)?.[1]) > 0,
  },
  {
    id: 'own-folders',
    area,
    says: 'write into the folder from which its host speaks, nor shake the host by taking its own away',
    program: speak(`
def tries(what, work):
    try:
        work()
        print('OPEN', what)
    except OSError as error:
        print(what, error)
tries('write in/', lambda: open(IN + '/000099.json', 'w'))
tries('change in/', lambda: open(sorted(os.scandir(IN), key=lambda entry: entry.name)[0].path, 'a'))
tries('remove in in/', lambda: os.unlink(IN + '/000001.json'))
tries('open in/', lambda: os.chmod(IN, 0o777))
tries('remove out/', lambda: os.rmdir(OUT))
tries('move out/', lambda: os.rename(OUT, '/workspace/ipc/gone'))
tries('link out/', lambda: os.symlink('/etc', '/workspace/ipc/link'))
tries('take out/ elsewhere', lambda: os.rename(OUT, '/workspace/group/out'))
say({'kind': 'progress', 'text': 'x'})
os.chmod(OUT, 0)
time.sleep(0.3)
hold()
os.chmod(OUT, 0o700)`),
  },
  {
    id: 'sent-files',
    area,
    says: 'send files that are not its own: by paths, links, pipes, or swapped while they are copied',
    program: speak(`
group, secrets = '/workspace/group', {name: os.environ[name] for name in ('HOST_HOME_FILE', 'HOST_GROUP_FILE', 'HOST_STORE_FILE', 'HOST_ENV_FILE')}
os.chdir(group)
paths = ['/etc/shadow', '/etc/passwd', '/proc/self/environ', '../victim/diary.txt', group + '/../victim/diary.txt', '/workspace/group/../../etc/passwd',
    './../../../etc/shadow', '....//....//etc/shadow', '..', '.', '/', '', 'a\\0b', 'x' * 300, 'a/' * 2000, '/workspace/ipc/in/000001.json', '/home/agent/.bashrc',
    'check', 'no-such-file', '%2e%2e/victim/diary.txt', '..\\\\victim\\\\diary.txt', '~/.ssh/id_rsa', 'file:///etc/passwd', '/workspace/groupie/x']
paths += list(secrets.values())
for name, path in secrets.items():
    os.symlink(path, name)
    os.symlink(os.path.dirname(path), name + '-folder')
    paths += [name, name + '-folder/' + os.path.basename(path)]
os.symlink('/', 'root')
os.symlink('../victim', 'neighbour')
os.symlink('/proc/self/root', 'proc-root')
os.mkfifo('pipe')
with socket.socket(socket.AF_UNIX) as server:
    server.bind('socket')
open('first', 'w').write('mine')
os.link('first', 'second')
paths += ['root/etc/passwd', 'neighbour/diary.txt', 'proc-root/etc/passwd', 'pipe', 'socket', 'first', 'second']
for index, path in enumerate(paths):
    name = 'send-%d' % index
    say(ask(name, 'send_file', path=path))
print('last:', answer('send-%d' % (len(paths) - 1)))
for index, path in enumerate(paths):
    ok, text = answers().get('send-%d' % index, (False, 'no answer'))
    if ok:
        print('OPEN', path[:100], text)
# Swapped: a file for a link, and a folder for a link to another.
os.mkdir('real')
for path in ('good', 'real/secret.txt', 'real/diary.txt'):
    open(path, 'w').write('mine')
os.symlink(secrets['HOST_HOME_FILE'], 'bad')
os.symlink(os.path.dirname(secrets['HOST_GROUP_FILE']), 'unreal')
stop = False
def swap():
    while not stop:
        exchange('good', 'bad')
        exchange('real', 'unreal')
thread = threading.Thread(target=swap, daemon=True)
thread.start()
for index in range(30):
    say(ask('swap-%d' % index, 'send_file', path=['good', 'real/diary.txt', 'real/secret.txt'][index % 3]))
print('swapped:', answer('swap-29'))
stop = True
print(sum(name.startswith('swap-') for name in answers()), 'answered')
print(sum(ok for name, (ok, text) in answers().items() if name.startswith('swap-')), 'of 30 sent')
hold()`),
    held: ({ output }) => /^last: \(False/m.test(output) && /^swapped: \(/m.test(output),
  },
  {
    id: 'attachments',
    area,
    says: 'have an attachment written elsewhere, by a link in place of its folder, also swapped',
    program: speak(`
os.chdir('/workspace/group')
targets = [os.path.dirname(os.environ['HOST_TMP_FILE']), os.path.dirname(os.environ['HOST_GROUP_FILE'])]
os.symlink(targets[0], 'media')
ready()
while not os.path.exists('swap') and not over():
    time.sleep(0.02)
os.mkdir('real')
os.rename('media', 'unreal')
os.rename('real', 'media')
while not over():
    exchange('media', 'unreal')
print('swapped')`),
    meanwhile: async (app, mallory) => {
      const group = app.inGroup('mallory');
      await expect.poll(() => existsSync(join(group, 'ready'))).toBe(true);
      const attached = join(app.config.homeDir, 'attached.txt');
      writeFileSync(attached, 'attached');
      await mallory.say('@Andy look', [attached]);
      writeFileSync(join(group, 'swap'), '');
      for (let count = 0; count < 4; count += 1) await mallory.say('@Andy look', [attached]);
    },
    held: ({ output }) => output.includes('swapped'),
    afterwards: (_, world) =>
      strangersBeside(world, ['HOST_TMP_FILE', 'HOST_GROUP_FILE'], /attached/),
  },
];
