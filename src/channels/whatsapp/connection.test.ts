/**
 * The connection, tested with real sockets and the real Baileys against the stand-in server, on a
 * clock that the tests move, so that hours of waiting pass at once.
 */
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { promisesSettled } from '../../../test/support/held-clock.ts';
import { LinkedConnection } from '../../../test/support/linked-connection.ts';
import { alice, bob } from '../../../test/support/linked-host.ts';
import type { ConnectionState } from './connection.ts';

const second = 1000;
const minute = 60 * second;
const day = 24 * 60 * minute;
const lidOf = ({ lid }: { lid: string }) => `${lid}@lid`;

const escaped: unknown[] = [];
const note = (error: unknown) => void escaped.push(error);

beforeEach(() => {
  escaped.length = 0;
  process.on('unhandledRejection', note);
});

afterEach(() => {
  process.off('unhandledRejection', note);
  expect(escaped).toEqual([]);
});

type Waiting = Extract<ConnectionState, { kind: 'waiting' }>;

/** Lets a wait pass. Resolves to the next one. */
function passed(linked: LinkedConnection, { untilMs }: Waiting): Promise<Waiting> {
  return linked.next('waiting', () => linked.clock.advance(untilMs - linked.clock.now()));
}

/** Answers for the page that names the version, which needs the internet. */
function answerVersionWith(answer: () => Promise<Response>) {
  const fetch = vi.spyOn(globalThis, 'fetch').mockImplementation(answer);
  onTestFinished(() => fetch.mockRestore());
  return fetch;
}

describe('reconnecting', () => {
  test('is done at once when WhatsApp asks for a restart', async () => {
    const linked = await LinkedConnection.start();
    // Linking itself ends with a restart.
    expect(linked.states.map(({ kind }) => kind)).toEqual(['connecting', 'connecting', 'open']);
    const startedAtMs = linked.clock.now();
    await linked.next('open', () => linked.server.do('endStream', { code: 515 }));
    expect(linked.count('waiting')).toBe(0);
    expect(linked.clock.now()).toBe(startedAtMs);
    expect(linked.liveMost).toBe(1);
  });

  test('is not done at once for ever when WhatsApp asks for nothing else', async () => {
    const linked = await LinkedConnection.start();
    await linked.server.faults({ loginFailure: 515 });
    let wait = await linked.next('waiting', () => linked.server.do('endStream', { code: 515 }));
    const { length } = linked.sockets;
    expect(length).toBeLessThanOrEqual(5);
    for (const attempts of [1, 2, 3, 4]) {
      expect(wait.attempts).toBe(attempts);
      wait = await passed(linked, wait);
    }
    expect(linked.sockets).toHaveLength(length + 4);
    await linked.server.faults({ loginFailure: null });
    await linked.next('open', () => linked.clock.advance(wait.untilMs - linked.clock.now()));
    // After a connection that lasted, a restart is immediate again.
    linked.clock.advance(minute);
    const waits = linked.count('waiting');
    await linked.next('open', () => linked.server.do('endStream', { code: 515 }));
    expect(linked.count('waiting')).toBe(waits);
  });

  test.each([408, 428, 500, 503] as const)('waits a moment after %d', async (code) => {
    const linked = await LinkedConnection.start();
    const wait = await linked.next('waiting', () => linked.server.do('endStream', { code }));
    expect(wait).toMatchObject({ attempts: 1, reason: expect.stringMatching(/\w/) });
    const waitMs = wait.untilMs - linked.clock.now();
    expect(waitMs).toBeGreaterThanOrEqual(second / 2);
    expect(waitMs).toBeLessThanOrEqual(second);
    linked.clock.advance(waitMs - 1);
    expect(linked.connection.state).toBe(wait);
    await linked.next('open', () => linked.clock.advance(1));
    expect(linked.liveMost).toBe(1);
  });

  test('is tried less and less often, to every five minutes, without an end', async () => {
    const linked = await LinkedConnection.start();
    await linked.server.faults({ refusesConnections: true });
    let wait = await linked.next('waiting', () => linked.server.do('drop', {}));
    for (let attempts = 1; attempts <= 15; attempts += 1) {
      const mostMs = Math.min(second * 2 ** (attempts - 1), 5 * minute);
      expect(wait.attempts).toBe(attempts);
      expect(wait.untilMs - linked.clock.now()).toBeGreaterThanOrEqual(mostMs / 2);
      expect(wait.untilMs - linked.clock.now()).toBeLessThanOrEqual(mostMs);
      // There is only one timer.
      expect(linked.clock.waits()).toEqual([wait.untilMs - linked.clock.now()]);
      wait = await passed(linked, wait);
    }
    expect(linked.liveMost).toBe(1);
  });

  test('is spread by chance, apart from all others that lost it in the same second', async () => {
    const linked = await LinkedConnection.start();
    const waitsMs = new Set<number>();
    for (let time = 0; time < 3; time += 1) {
      const wait = await linked.next('waiting', () => linked.server.do('drop', {}));
      waitsMs.add(wait.untilMs - linked.clock.now());
      await linked.next('open', () => linked.clock.advance(wait.untilMs - linked.clock.now()));
      linked.clock.advance(2 * minute);
    }
    expect(waitsMs.size).toBe(3);
  });

  test('over ten minutes of refusals makes few attempts and lines, then recovers', async () => {
    const linked = await LinkedConnection.start();
    const { server, clock } = linked;
    await server.faults({ refusesConnections: true });
    const before = await server.do('state', {});
    const [statesBefore, linesBefore] = [linked.states.length, linked.logLines.length];
    const untilMs = clock.now() + 10 * minute;
    let wait = await linked.next('waiting', () => server.do('drop', {}));
    while (wait.untilMs <= untilMs) wait = await passed(linked, wait);

    const { attempts } = await server.do('state', {});
    const made = attempts - before.attempts;
    expect(made).toBeGreaterThanOrEqual(8);
    expect(made).toBeLessThanOrEqual(13);
    expect(made).toBe(wait.attempts - 1);
    // Two states per attempt: that it began, and that the next one waits.
    expect(linked.states.length - statesBefore).toBe(2 * made + 1);
    expect(linked.logLines.length - linesBefore).toBeLessThanOrEqual(2 * (made + 1));

    await server.faults({ refusesConnections: false });
    await linked.next('open', () => clock.advance(wait.untilMs - clock.now()));
    expect(linked.liveMost).toBe(1);
    expect((await server.do('state', {})).attempts).toBe(linked.sockets.length);
    const id = await server.say(alice.number, 'are you back?');
    await server.waitState({ maxWaiting: 0 });
    expect(linked.inboxIds()).toEqual([id]);
  });

  test('starts from a second again only after a connection that lasted', async () => {
    const linked = await LinkedConnection.start();
    const lose = () => linked.next('waiting', () => linked.server.do('drop', {}));
    const open = () =>
      linked.next('open', () => linked.clock.advance(linked.clock.waits()[0] ?? 0));
    for (const attempts of [1, 2, 3]) {
      expect(await lose()).toMatchObject({ attempts });
      await open();
    }
    linked.clock.advance(minute);
    expect(await lose()).toMatchObject({ attempts: 1 });
  });

  test('follows when a login is not answered within a minute', async () => {
    const linked = await LinkedConnection.start();
    const wait = await linked.next('waiting', () => linked.server.do('drop', {}));
    await linked.next('connecting', () => linked.clock.advance(wait.untilMs - linked.clock.now()));
    linked.sockets.at(-1)?.ws.removeAllListeners('message');
    const late = await linked.next('waiting', () => linked.clock.advance(minute));
    expect(late.reason).toBe('no login within a minute');
    await linked.next('connecting', () => linked.clock.advance(late.untilMs - linked.clock.now()));
    expect(linked.liveMost).toBe(1);
  });
});

describe('what only a person can mend', () => {
  const cases = [
    { code: 401, reason: 'logged out', remedy: /npm run unlink.*npm run link/ },
    { code: 411, reason: 'logged out', remedy: /npm run unlink.*npm run link/ },
    { code: 403, reason: 'forbidden', remedy: /restricted the account/ },
    { code: 440, reason: 'replaced', remedy: /Another program uses this link/ },
  ] as const;

  test.each(cases)('ends the attempts and keeps all: $code', async ({ code, reason, remedy }) => {
    const linked = await LinkedConnection.start();
    const { server, clock } = linked;
    await server.say(alice.number, 'before');
    await server.waitState({ maxWaiting: 0 });
    if (code === 440) await linked.next('ended', () => server.do('endStream', { code }));
    else {
      await server.faults({ loginFailure: code });
      const wait = await linked.next('waiting', () => server.do('drop', {}));
      await linked.next('ended', () => clock.advance(wait.untilMs - clock.now()));
    }
    expect(linked.connection.state).toEqual({
      kind: 'ended',
      reason,
      remedy: expect.stringMatching(remedy),
    });
    expect(linked.store.readKey('creds', '')).toContain('signedIdentityKey');
    expect(linked.inboxIds()).toHaveLength(1);

    await server.faults({ loginFailure: null });
    const { attempts } = await server.do('state', {});
    clock.advance(7 * day);
    await promisesSettled();
    expect(linked.connection.state.kind).toBe('ended');
    expect((await server.do('state', {})).attempts).toBe(attempts);
    expect(linked.sockets).toHaveLength(attempts);
  });

  test('includes a device that the phone has removed', async () => {
    const linked = await LinkedConnection.start();
    await linked.next('ended', () => linked.server.do('unlinkFromPhone', {}));
    expect(linked.connection.state).toMatchObject({ reason: 'logged out' });
  });
});

describe('a version that is refused', () => {
  async function refused(linked: LinkedConnection): Promise<Waiting> {
    await linked.server.faults({ loginFailure: 405 });
    const wait = await linked.next('waiting', () => linked.server.do('drop', {}));
    return passed(linked, wait);
  }

  test('is looked up once; the next refusal waits an hour', async () => {
    const page = 'self.x = JSON.parse("{\\"client_revision\\":1099999999}")';
    const fetch = answerVersionWith(async () => new Response(page));
    const linked = await LinkedConnection.start();
    const { attempts: before } = await linked.server.do('state', {});
    const wait = await refused(linked);
    expect(fetch).toHaveBeenCalledTimes(1);
    // Once with the old version, once with the new one.
    expect((await linked.server.do('state', {})).attempts).toBe(before + 2);
    expect(wait.reason).toMatch(/version is refused/);
    expect(wait.untilMs - linked.clock.now()).toBe(60 * minute);
    const again = await passed(linked, wait);
    expect(again.untilMs - linked.clock.now()).toBe(60 * minute);
    expect(fetch).toHaveBeenCalledTimes(1);
    await linked.server.faults({ loginFailure: null });
    await linked.next('open', () => linked.clock.advance(60 * minute));
    expect(linked.liveMost).toBe(1);
  });

  test('waits an hour when no newer one can be had', async () => {
    answerVersionWith(() => Promise.reject(new TypeError('fetch failed')));
    const linked = await LinkedConnection.start();
    const { attempts: before } = await linked.server.do('state', {});
    const wait = await refused(linked);
    expect(wait.untilMs - linked.clock.now()).toBe(60 * minute);
    expect((await linked.server.do('state', {})).attempts).toBe(before + 1);
  });

  test('is not looked up for a connection that was stopped meanwhile', async () => {
    let answer = (_: Response) => {};
    const isAsked = new Promise<void>((asked) => {
      answerVersionWith(() => {
        asked();
        return new Promise((resolve) => {
          answer = resolve;
        });
      });
    });
    const linked = await LinkedConnection.start();
    void refused(linked);
    await isAsked;
    await linked.connection.stop();
    const { length } = linked.sockets;
    answer(new Response('"client_revision":1099999999'));
    await promisesSettled();
    expect(linked.connection.state).toMatchObject({ kind: 'ended', reason: 'stopped' });
    expect(linked.sockets).toHaveLength(length);
  });
});

describe('stopping', () => {
  async function expectStopped(linked: LinkedConnection): Promise<void> {
    await linked.server.waitState({ isConnected: false });
    const { length } = linked.sockets;
    linked.clock.advance(day);
    await promisesSettled();
    expect(linked.connection.state).toMatchObject({ kind: 'ended', reason: 'stopped' });
    expect(linked.sockets).toHaveLength(length);
    expect(linked.clock.waits()).toEqual([]);
  }

  test('closes an open connection', async () => {
    const linked = await LinkedConnection.start();
    await linked.connection.stop();
    await expectStopped(linked);
  });

  test('ends the attempt that is under way', async () => {
    const linked = await LinkedConnection.start();
    await linked.next('waiting', () => linked.server.do('drop', {}));
    linked.clock.advance(second);
    expect(linked.connection.state.kind).toBe('connecting');
    await linked.connection.stop();
    await expectStopped(linked);
    expect(linked.count('open')).toBe(1);
  });

  test('ends the waiting', async () => {
    const linked = await LinkedConnection.start();
    await linked.next('waiting', () => linked.server.do('drop', {}));
    await linked.connection.stop();
    await expectStopped(linked);
  });

  test('does not wait for a server that is gone', async () => {
    const linked = await LinkedConnection.start();
    const wire: WebSocket = Reflect.get(linked.connection.socket?.ws ?? {}, 'socket');
    wire.pause();
    const stopped = linked.connection.stop();
    linked.clock.advance(2 * second);
    await stopped;
    expect(linked.connection.state).toMatchObject({ kind: 'ended', reason: 'stopped' });
    // The other end has not answered.
    expect(wire.readyState).toBe(wire.CLOSING);
    wire.terminate();
  });
});

test('a message that the store cannot take is not reported as unreadable, and comes again', async () => {
  const linked = await LinkedConnection.start();
  const { store, server, connection } = linked;
  const { addToInbox } = store;
  let failures = 0;
  const failed = new Promise<void>((resolve) => {
    store.addToInbox = () => {
      failures += 1;
      // Baileys tries three times.
      if (failures === 3) setImmediate(resolve);
      throw new Error('the disk is full');
    };
  });
  const reported: unknown[] = [];
  const { socket } = connection;
  // On a slow machine the phone's history comes only now.
  socket?.ev.on('messages.upsert', ({ messages }) =>
    reported.push(...messages.filter(({ key }) => !key.fromMe)),
  );
  // As with a server that is far away: the connection takes its time to end.
  const wire: WebSocket = Reflect.get(socket?.ws ?? {}, 'socket');
  const close = wire.close.bind(wire);
  wire.close = () => {
    wire.pause();
    close();
  };
  const waiting = linked.next('waiting', () => server.say(alice.number, 'kept'));
  expect(await waiting).toMatchObject({ reason: 'the disk is full' });
  await failed;
  await promisesSettled();
  expect(reported).toEqual([]);
  wire.terminate();
  store.addToInbox = addToInbox;
  const kept = new Promise((resolve) => {
    linked.kept = resolve;
  });
  linked.clock.advance(second);
  expect(await kept).toMatchObject({ message: { conversation: 'kept' } });
  await server.waitState({ maxWaiting: 0 });
});

describe('sending', () => {
  const content = { text: 'hello' };

  test('is done when the server has acknowledged it', async () => {
    const { connection, server } = await LinkedConnection.start();
    const delivery = await connection.send(lidOf(alice), content, '3EB0A1');
    expect(delivery).toEqual({ kind: 'acknowledged' });
    expect(await server.hears(alice.number)).toMatchObject({ id: '3EB0A1', text: 'hello' });
  });

  test('is not done by its mere arrival: without the server it fails after 20 s', async () => {
    const linked = await LinkedConnection.start();
    const { connection, server, clock } = linked;
    await server.faults({ swallowedAcks: 1 });
    let isSettled = false;
    const sent = connection.send(lidOf(alice), content, '3EB0A1').finally(() => {
      isSettled = true;
    });
    const failed = expect(sent).rejects.toThrow('has not acknowledged');
    await server.hears(alice.number);
    // Another message is acknowledged, which must not count for the first.
    await connection.send(lidOf(bob), content, '3EB0B1');
    clock.advance(19_999);
    await promisesSettled();
    expect(isSettled).toBe(false);
    clock.advance(1);
    await failed;
    expect(clock.waits()).toEqual([]);
    // A receiver that already has the message drops the repetition.
    await connection.send(lidOf(alice), content, '3EB0A1');
    await connection.send(lidOf(alice), { text: 'more' }, '3EB0A2');
    await server.hears(alice.number, { text: 'more' });
    const heard = await server.do('heard', { by: alice.number });
    expect(heard.map(({ id, deliveries }) => [id, deliveries])).toEqual([
      ['3EB0A1', 2],
      ['3EB0A2', 1],
    ]);
  });

  test('tells each message from the others, however their acks overtake each other', async () => {
    const { connection, server } = await LinkedConnection.start();
    await server.faults({ ackDelayMs: [0, 100], rejections: [500] });
    const first = connection.send(lidOf(alice), content, '3EB0A0');
    const refused = await first;
    const ids = Array.from({ length: 20 }, (_, index) => `3EB0B${index}`);
    const deliveries = await Promise.all(
      ids.map((id) => connection.send(lidOf(alice), { text: id }, id)),
    );
    expect(refused.kind).toBe('refused');
    expect(new Set(deliveries.map(({ kind }) => kind))).toEqual(new Set(['acknowledged']));
  });

  test('is settled by an ack that comes before the socket has taken the rest', async () => {
    const { connection, server } = await LinkedConnection.start();
    await server.faults({ ackDelayMs: [0, 0] });
    const socket = connection.socket;
    if (!socket) throw new Error('not open');
    const relay = socket.relayMessage.bind(socket);
    socket.relayMessage = async (jid, message, options) => {
      const acknowledged = new Promise((resolve) =>
        socket.ws.once('CB:ack,class:message', resolve),
      );
      const id = await relay(jid, message, options);
      await acknowledged;
      return id;
    };
    expect(await connection.send(lidOf(alice), content, '3EB0A1')).toEqual({
      kind: 'acknowledged',
    });
  });

  test('that is refused because devices may have changed is tried once more', async () => {
    const { connection, server } = await LinkedConnection.start();
    await server.faults({ rejections: [479] });
    const once = await connection.send(lidOf(alice), content, '3EB0A1');
    expect(once).toEqual({ kind: 'acknowledged' });
    await server.faults({ rejections: [479, 479] });
    const twice = await connection.send(lidOf(alice), content, '3EB0A2');
    expect(twice).toEqual({ kind: 'refused', reason: 'WhatsApp refused it (error 479).' });
    expect(await connection.send(lidOf(alice), content, '3EB0A3')).toEqual({
      kind: 'acknowledged',
    });
  });

  test('that is refused says why, and is not repeated', async () => {
    const linked = await LinkedConnection.start();
    const { connection, server, clock } = linked;
    await server.faults({ rejections: [463, 463] });
    const delivery = await connection.send(lidOf(alice), content, '3EB0A1');
    expect(delivery).toEqual({ kind: 'refused', reason: 'WhatsApp refused it (error 463).' });
    clock.advance(day);
    await promisesSettled();
    // A retry would have used up the second refusal.
    expect(await connection.send(lidOf(alice), content, '3EB0A2')).toMatchObject({
      kind: 'refused',
    });
    expect(await connection.send(lidOf(alice), { text: 'now' }, '3EB0A3')).toEqual({
      kind: 'acknowledged',
    });
    await server.hears(alice.number, { text: 'now' });
    expect(await server.do('heard', { by: alice.number })).toHaveLength(1);
  });

  test('fails when the connection is lost before the ack', async () => {
    const linked = await LinkedConnection.start();
    const { connection, server } = linked;
    await server.faults({ swallowedAcks: 1 });
    const failed = expect(connection.send(lidOf(alice), content, '3EB0A1')).rejects.toThrow(
      'the connection was lost',
    );
    await server.hears(alice.number);
    await linked.next('waiting', () => server.do('drop', {}));
    await failed;
  });

  // Baileys' own queries then stay unanswered and would time out after a minute.
  test.each([
    ['the devices of the chat are asked for', 'usync', content],
    ['a file is about to be uploaded', 'media_conn', { image: Buffer.from('a picture') }],
  ])(
    'fails at once when this side ends the connection while %s',
    async (_, query, message) => {
      const linked = await LinkedConnection.start();
      const { connection, server } = linked;
      await server.faults({ mutedQueries: [query] });
      const sent = connection.send(lidOf(alice), message, '3EB0A1');
      const failed = expect(sent).rejects.toThrow('the connection was lost');
      await server.waitState({ minUnanswered: 1 });
      await server.do('endStream', { code: 503 });
      await failed;
      await server.faults({ mutedQueries: [] });
      await linked.next('open', () => linked.clock.advance(second));
      const again = await connection.send(lidOf(alice), content, '3EB0A1');
      expect(again).toEqual({ kind: 'acknowledged' });
    },
    40_000,
  );

  // Otherwise it and all messages behind it would wait for Baileys' own limit, a minute.
  test('fails after 20 s, with its connection, when what is asked first is not answered', async () => {
    const linked = await LinkedConnection.start();
    const { connection, server, clock } = linked;
    await server.faults({ mutedQueries: ['usync'] });
    const sent = connection.send(lidOf(alice), content, '3EB0A1');
    const failed = expect(sent).rejects.toThrow('the connection was lost');
    await server.waitState({ minUnanswered: 1 });
    await server.faults({ mutedQueries: [] });
    const wait = await linked.next('waiting', () => clock.advance(20 * second));
    expect(wait.reason).toBe('WhatsApp did not answer');
    await failed;
    await linked.next('open', () => clock.advance(wait.untilMs - clock.now()));
    const again = await connection.send(lidOf(alice), content, '3EB0A1');
    expect(again).toEqual({ kind: 'acknowledged' });
    expect(await server.hears(alice.number)).toMatchObject({ text: 'hello', deliveries: 1 });
  });

  test('fails when it is stopped before the ack', async () => {
    const { connection, server } = await LinkedConnection.start();
    await server.faults({ swallowedAcks: 1 });
    const failed = expect(connection.send(lidOf(alice), content, '3EB0A1')).rejects.toThrow(
      'the connection was lost',
    );
    await server.hears(alice.number);
    await connection.stop();
    await failed;
  });

  test('fails at once while there is no connection', async () => {
    const linked = await LinkedConnection.start();
    const { connection, server } = linked;
    const fails = () =>
      expect(connection.send(lidOf(alice), content, '3EB0A1')).rejects.toThrow('not connected');
    await linked.next('waiting', () => server.do('drop', {}));
    await fails();
    linked.clock.advance(second);
    expect(connection.state.kind).toBe('connecting');
    await fails();
    await connection.stop();
    await fails();
  });
});
