/**
 * The defects of Baileys 7.0.0-rc14 that would lose messages or keys, each reproduced through our
 * own connection against the stand-in server. Each test fails without its workaround; when it
 * passes without, remove the workaround. media.test.ts tests from which hosts files are fetched.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { DEFAULT_CONNECTION_CONFIG, type SignalDataSet, type WASocket } from 'baileys';
import { build } from 'esbuild';
import { pino } from 'pino';
import selfsigned from 'selfsigned';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { WebSocket } from 'ws';
import { HeldClock } from '../../../test/support/held-clock.ts';
import { LinkedConnection } from '../../../test/support/linked-connection.ts';
import { alice, bob } from '../../../test/support/linked-host.ts';
import { temporaryFolder } from '../../../test/support/store.ts';
import { openAuth } from './auth.ts';
import { Connection, type ConnectionState } from './connection.ts';
import { WhatsAppStore } from './store.ts';

const lidOf = ({ lid }: { lid: string }) => `${lid}@lid`;

test('a burst in both directions at once loses nothing and asks for nothing again', async () => {
  const linked = await LinkedConnection.start();
  const { server, connection } = linked;
  const people = [alice, bob];
  const echoes: Promise<unknown>[] = [];
  linked.kept = ({ key: { id = '', remoteJid } }) =>
    void echoes.push(connection.send(remoteJid ?? '', { text: `echo of ${id}` }, `${id}EC`));
  // One by one: after each echo that a phone has read, its next message advances the ratchet.
  const sent = await Promise.all(
    people.map(async ({ number }) => {
      const ids: string[] = [];
      while (ids.length < 100) ids.push(await server.say(number, `number ${ids.length}`));
      return ids;
    }),
  );
  await server.waitState({ maxWaiting: 0 });
  await Promise.all(echoes);

  const arrived = linked.inboxIds();
  expect(arrived).toHaveLength(200);
  for (const ids of sent) expect(arrived.filter((id) => ids.includes(id))).toEqual(ids);
  for (const [index, { number: by }] of people.entries()) {
    await server.hears(by, { skip: 99 });
    expect(await server.do('seen', { by })).toMatchObject({ retriesAsked: 0, retriesHeard: 0 });
    const heard = await server.do('heard', { by });
    const expected = sent[index]?.map((id) => [`echo of ${id}`, 1]);
    expect(heard.map(({ text, deliveries }) => [text, deliveries])).toEqual(expected);
  }
  expect(await server.do('state', {})).toMatchObject({ retryReceipts: 0, nacks: 0 });
});

test('a session that begins while we are sending to the same person is not lost', async () => {
  const linked = await LinkedConnection.start();
  const { server, connection } = linked;
  // Neither reaches her, so her phone starts a session of its own.
  await server.faults({ rejections: [500, 500] });
  await connection.send(lidOf(alice), { text: 'hello?' }, '3EB0A1');
  const network = holdWrites(connection.socket);
  const sent = connection.send(lidOf(alice), { text: 'are you there?' }, '3EB0A2');
  await network.held;
  const kept = new Promise<void>((resolve) => {
    linked.kept = () => resolve();
  });
  const ids = [await server.say(alice.number, 'one')];
  await kept;
  network.release();
  await sent;
  ids.push(await server.say(alice.number, 'two'));
  await server.waitState({ maxWaiting: 0 });
  expect(linked.inboxIds()).toEqual(ids);
  expect(await server.do('state', {})).toMatchObject({ retryReceipts: 0, nacks: 0 });
});

test('what came while we were away is taken like the rest, and what we said is not', async () => {
  const linked = await LinkedConnection.start();
  const { server, connection } = linked;
  const live = await server.say(alice.number, 'live');
  await server.waitState({ maxWaiting: 0 });
  await connection.send(lidOf(alice), { text: 'from us' }, '3EB0A1');
  await linked.next('waiting', () => server.do('drop', {}));
  const missed = [];
  for (const text of ['one', 'two', 'three']) missed.push(await server.say(alice.number, text));
  await linked.next('open', () => linked.clock.advance(1000));
  await server.waitState({ maxWaiting: 0 });
  expect(linked.inboxIds()).toEqual([live, ...missed]);
  const waited = linked.store.listInbox(100).map(({ wasOffline }) => wasOffline);
  expect(waited).toEqual([false, true, true, true]);
});

test('a message counts as sent when the server says so, not when the socket has taken it', async () => {
  const { server, connection, clock } = await LinkedConnection.start();
  await server.faults({ swallowedAcks: 1 });
  const sent = expect(connection.send(lidOf(alice), { text: 'hi' }, '3EB0A1')).rejects.toThrow(
    'has not acknowledged',
  );
  await server.hears(alice.number);
  clock.advance(20_000);
  await sent;
  await server.faults({ rejections: [500] });
  expect(await connection.send(lidOf(alice), { text: 'hi' }, '3EB0A2')).toMatchObject({
    kind: 'refused',
  });
});

describe('the delivery receipt', () => {
  test('leaves only when the message is on the disk', async () => {
    const linked = await LinkedConnection.start();
    const { server, path } = linked;
    const seen: { inInbox: number; atServer: number }[] = [];
    linked.kept = () => {
      const reader = new WhatsAppStore(path);
      const inInbox = reader.listInbox(10).length;
      reader.close();
      seen.push({ inInbox, atServer: askWaiting(server) });
    };
    await server.say(alice.number, 'first');
    await server.waitState({ maxWaiting: 0 });
    expect(seen).toEqual([{ inInbox: 1, atServer: 1 }]);
  });

  test.each(['before', 'after'] as const)(
    'never left when the process is killed %s the message is on the disk',
    async (moment) => {
      const linked = await LinkedConnection.start();
      const { server } = linked;
      await linked.connection.stop();
      const id = await server.say(alice.number, 'hello');
      const die = "process.kill(process.pid, 'SIGKILL')";
      const child = await runChild(linked, moment === 'before' ? { isKept: die } : { kept: die });
      expect(child.signal).toBe('SIGKILL');
      expect(linked.inboxIds()).toEqual(moment === 'before' ? [] : [id]);
      expect(await server.do('state', {})).toMatchObject({ waiting: 1 });

      await linked.next('open', () => linked.connection.start());
      await server.waitState({ isReady: true, maxWaiting: 0 });
      expect(linked.inboxIds()).toEqual([id]);
    },
  );
});

test('a file that has expired is asked for again', async () => {
  const linked = await LinkedConnection.start();
  const { server } = linked;
  await linked.connection.stop();
  const base64 = Buffer.from('a picture that expires').toString('base64');
  const messageId = await server.say(alice.number, { kind: 'image', base64 });
  await server.do('expireMedia', { messageId });
  const child = await runChild(linked, {
    kept: `
      await opened;
      const { media } = readMessage(message, { nameOf: String });
      const file = await mediaAttachment(message, media, () => connection.socket).open();
      for await (const chunk of file) process.stdout.write(chunk);
      process.exit();
    `,
  });
  expect(child.output).toBe('a picture that expires');
});

test('what libsignal prints of sessions is dropped; what others print is not', async () => {
  const printed: unknown[][] = [];
  const methods = ['info', 'warn', 'error', 'log'] as const;
  const originals = methods.map((method) => console[method]);
  onTestFinished(() => {
    for (const [index, method] of methods.entries())
      console[method] = originals[index] ?? console[method];
  });
  for (const method of methods) console[method] = (...words) => void printed.push(words);
  const { server } = await LinkedConnection.start();
  await server.say(alice.number, 'first');
  await server.waitState({ maxWaiting: 0 });
  // Her phone starts a new session; the old one is closed, and printed.
  await server.do('send', {
    by: alice.number,
    content: { kind: 'text', text: 'second' },
    isCorrupt: true,
  });
  await server.waitState({ maxWaiting: 0 });
  expect((await server.do('state', {})).retryReceipts).toBeGreaterThan(0);
  console.info('an ordinary line', { privateKey: 'of somebody else' });
  expect(printed).toEqual([['an ordinary line', { privateKey: 'of somebody else' }]]);
});

describe('the keys', () => {
  const session = (value: number) => new Uint8Array(2000).fill(value);

  test('survive a write that is torn at any place, all or none of a change', async () => {
    const dir = temporaryFolder();
    const [database, log] = [join(dir, 'whatsapp.db'), join(dir, 'whatsapp.db-wal')];
    const store = new WhatsAppStore(database);
    onTestFinished(() => store.close());
    const auth = openAuth(store);
    auth.save();
    await auth.keys.set({ session: { a: session(1), b: session(1), c: session(1) } });
    const whole = readFileSync(log).length;
    auth.creds.nextPreKeyId = 77;
    await auth.keys.set({ session: { a: session(2), b: session(2), c: session(2) } });
    const bytes = readFileSync(log);
    expect(bytes.length).toBeGreaterThan(whole);

    const found = new Set<string>();
    for (let length = whole; length < bytes.length; length += 1024) {
      const torn = join(temporaryFolder(), 'whatsapp.db');
      copyFileSync(database, torn);
      writeFileSync(`${torn}-wal`, bytes.subarray(0, length));
      const opened = new WhatsAppStore(torn);
      const { creds, keys } = openAuth(opened);
      const { a, b, c } = await keys.get('session', ['a', 'b', 'c']);
      opened.close();
      expect(creds.noiseKey).toEqual(auth.creds.noiseKey);
      found.add([a, b, c].map((value) => value?.[0]).join());
    }
    expect([...found]).toEqual(['1,1,1', '2,2,2']);
  });

  test('are not half written when one of a change cannot be', async () => {
    const store = new WhatsAppStore(join(temporaryFolder(), 'whatsapp.db'));
    onTestFinished(() => store.close());
    const { keys } = openAuth(store);
    const change = { session: { a: session(1) }, 'pre-key': { 1: 1n } };
    const set = keys.set(change as unknown as SignalDataSet);
    await expect(set).rejects.toThrow(/BigInt/);
    expect(await keys.get('session', ['a'])).toEqual({});
  });

  test('that cannot be read are an error, never a new identity', () => {
    const store = new WhatsAppStore(join(temporaryFolder(), 'whatsapp.db'));
    onTestFinished(() => store.close());
    openAuth(store).save();
    store.writeKey('creds', '', store.readKey('creds', '')?.slice(0, 100) ?? '');
    expect(() => openAuth(store)).toThrow(SyntaxError);
  });

  test('may be of newer types, and of types that nobody knows', async () => {
    const path = join(temporaryFolder(), 'whatsapp.db');
    const store = new WhatsAppStore(path);
    const change = {
      'lid-mapping': { '15551110002': '900000000000012', '900000000000012_reverse': '15551110002' },
      'device-list': { '15551110002': ['0', '12'] },
      tctoken: { [lidOf(alice)]: { token: Buffer.from([1, 2, 3]), timestamp: '1800000000' } },
      'made-up-tomorrow': { x: { deep: [Buffer.from([4])] } },
    };
    await openAuth(store).keys.set(change as SignalDataSet);
    store.close();
    const again = new WhatsAppStore(path);
    onTestFinished(() => again.close());
    const { keys } = openAuth(again);
    for (const [type, values] of Object.entries(change))
      expect(await keys.get(type as 'tctoken', Object.keys(values))).toEqual(values);
    await keys.set({ tctoken: { [lidOf(alice)]: null } });
    expect(await keys.get('tctoken', [lidOf(alice)])).toEqual({});
  });

  test('hold what a message tells of who is who', async () => {
    const { server, store } = await LinkedConnection.start();
    await server.say(alice.number, 'hello');
    await server.waitState({ maxWaiting: 0 });
    const found = await openAuth(store).keys.get('lid-mapping', [alice.number]);
    expect(found).toEqual({ [alice.number]: alice.lid });
  });
});

describe("the server's identity", () => {
  test('is that of its certificate: nothing is said to one that is not trusted', async () => {
    const pems = await selfsigned.generate([{ name: 'commonName', value: 'not WhatsApp' }]);
    let requests = 0;
    const server = createServer({ key: pems.private, cert: pems.cert });
    server.on('upgrade', (_, socket) => {
      requests += 1;
      socket.destroy();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const store = new WhatsAppStore(join(temporaryFolder(), 'whatsapp.db'));
    onTestFinished(() => {
      server.close();
      store.close();
    });
    const { port } = server.address() as AddressInfo;
    const state = await new Promise<ConnectionState>((resolve) => {
      const connection = new Connection({
        store,
        log: pino({ level: 'silent' }),
        clock: new HeldClock(),
        webSocketUrl: `wss://127.0.0.1:${port}/ws/chat`,
        keepAliveMs: 25_000,
        isKept: () => true,
        kept() {},
        stateChanged: (entered) => entered.kind === 'connecting' || resolve(entered),
      });
      connection.start();
    });
    expect(state).toMatchObject({ kind: 'waiting', reason: expect.stringMatching(/self.signed/i) });
    expect(requests).toBe(0);
  });

  test('is asked for: WhatsApp itself is reached by TLS', () => {
    expect(DEFAULT_CONNECTION_CONFIG.waWebSocketUrl).toMatch(/^wss:\/\/[a-z.]+\.whatsapp\.com\//);
  });
});

/** Holds back all that is written to the network, until it is released. */
function holdWrites(socket: WASocket | null) {
  const wire: WebSocket = Reflect.get(socket?.ws ?? {}, 'socket');
  const write = wire.send.bind(wire);
  const writes: (() => void)[] = [];
  const held = new Promise<void>((resolve) => {
    wire.send = (...args: unknown[]) => {
      writes.push(() => Reflect.apply(write, wire, args));
      resolve();
    };
  });
  const release = () => {
    wire.send = write;
    for (const each of writes) each();
  };
  return { held, release };
}

/**
 * How many stanzas the server holds for us. Blocks this process, so that the server gets what was
 * already sent and nothing more.
 */
function askWaiting({ controlUrl }: { controlUrl: string }): number {
  const script = `
    const options = { method: 'POST', body: '{}' };
    const response = await fetch('${controlUrl}/state', options);
    console.log((await response.json()).result.waiting);
  `;
  return Number(execFileSync(process.execPath, ['--input-type=module', '-e', script]));
}

/**
 * Runs the connection in a process of its own. `isKept` and `kept` are the code that it runs for a
 * message.
 */
async function runChild(linked: LinkedConnection, { isKept = '', kept = '' }) {
  const contents = `
    import { pino } from 'pino';
    import { systemClock } from '../../clock.ts';
    import { Connection } from './connection.ts';
    import { readMessage } from './content.ts';
    import { mediaAttachment } from './media.ts';
    import { WhatsAppStore } from './store.ts';
    let open = () => {};
    const opened = new Promise((resolve) => { open = resolve; });
    const connection = new Connection({
      store: new WhatsAppStore(${JSON.stringify(linked.path)}),
      log: pino({ level: 'silent' }),
      clock: systemClock,
      webSocketUrl: process.env.WHATSAPP_WEBSOCKET_URL,
      keepAliveMs: 25_000,
      isKept: (message) => { ${isKept}; return true; },
      kept: async (message) => { ${kept} },
      stateChanged: ({ kind }) => kind === 'open' && open(),
    });
    connection.start();
  `;
  const project = resolve(import.meta.dirname, '../../..');
  const dir = mkdtempSync(join(project, 'node_modules', '.defects-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const outfile = join(dir, 'main.mjs');
  await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  const child = spawn(process.execPath, [outfile], {
    env: { PATH: process.env.PATH, ...linked.server.environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([readText(child.stdout), once(child, 'exit')]);
  return { output, signal: child.signalCode };
}
