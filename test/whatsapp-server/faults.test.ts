/** Each fault as a client sees it, and that the server works normally afterwards. */
import { describe, expect, test } from 'vitest';
import { alice, PlainClient } from './plain-client.ts';

const aliceLid = `${alice.lid}@lid`;
const isAck = (id: string) => (stanza: { tag: string; attrs: Record<string, string> }) =>
  stanza.tag === 'ack' && stanza.attrs.id === id;

/** Sends a message in each direction. */
async function works(client: PlainClient): Promise<void> {
  await client.message(await client.server.say(alice.number, 'all is well'));
  const id = await client.say(aliceLid, { text: 'here too' });
  await client.stanza(isAck(id));
}

describe('the connection', () => {
  test.each([403, 408, 428, 440, 500, 503, 515] as const)(
    'ends with %i, and a message meanwhile is not lost',
    async (code) => {
      const client = await PlainClient.start();
      await client.server.do('endStream', { code });
      expect(await client.closed()).toBe(code);
      await client.server.waitState({ isConnected: false });
      const id = await client.server.say(alice.number, 'meanwhile');
      await client.open();
      await client.message(id);
      await works(client);
    },
  );

  test('ends with 401, and the device stays linked', async () => {
    const client = await PlainClient.start();
    await client.server.do('endStream', { code: 401 });
    expect(await client.closed()).toBe(401);
    expect(await client.server.do('state', {})).toMatchObject({ isLinked: true });
  });

  test('breaks off', async () => {
    const client = await PlainClient.start();
    await client.server.do('drop', {});
    expect(await client.closed()).toBe(428);
    await client.open();
    await works(client);
  });

  test('falls silent without being closed', async () => {
    const client = await PlainClient.start();
    await client.server.do('stall', {});
    const id = await client.server.say(alice.number, 'into the void');
    expect(await client.server.do('state', {})).toMatchObject({ isConnected: true, waiting: 1 });
    await client.socket.sendPresenceUpdate('composing', aliceLid);
    await client.open();
    await client.message(id);
    await works(client);
    const { presences } = await client.server.do('seen', { by: alice.number });
    expect(presences).toEqual([]);
    const came = client.stanzas.filter(({ tag, attrs }) => tag === 'message' && attrs.id === id);
    expect(came).toHaveLength(1);
  });

  test('leaves only pings unanswered', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ mutesPings: true });
    const ping = client.socket.query(
      {
        tag: 'iq',
        attrs: { xmlns: 'w:p', type: 'get', to: '@s.whatsapp.net' },
        content: [{ tag: 'ping', attrs: {} }],
      },
      500,
    );
    await expect(ping).rejects.toThrow(/Timed Out/);
    await works(client);
  });

  test('leaves the named queries unanswered', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ mutedQueries: ['usync'] });
    void client.socket.sendMessage(aliceLid, { text: 'unsent' }).catch(() => {});
    await client.server.waitState({ minUnanswered: 1 });
    expect(await client.server.do('heard', { by: alice.number })).toEqual([]);
    await client.server.faults({ mutedQueries: [] });
    await client.open();
    await works(client);
  });

  test.each([401, 403, 405, 500, 503])('is refused at login with %i', async (reason) => {
    const client = await PlainClient.start();
    await client.server.faults({ loginFailure: reason });
    client.connect();
    expect(await client.closed()).toBe(reason);
    await client.server.faults({ loginFailure: null });
    await client.open();
    await works(client);
    expect(await client.server.do('state', {})).toMatchObject({ logins: 2 });
  });

  test('is refused before the handshake, and each attempt is counted', async () => {
    const client = await PlainClient.start();
    const { attempts } = await client.server.do('state', {});
    await client.server.faults({ refusesConnections: true });
    client.disconnect();
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      client.connect();
      await client.closed();
      await client.server.waitState({ minAttempts: attempts + attempt });
    }
    expect(await client.server.do('state', {})).toMatchObject({ attempts: attempts + 3 });
    await client.server.faults({ refusesConnections: false });
    await client.open();
    await works(client);
  });
});

describe('the server’s acknowledgement of a message', () => {
  test('arrives late and out of order', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ ackDelayMs: [400, 400] });
    const first = await client.say(aliceLid, { text: 'first' });
    await client.server.hears(alice.number, { text: 'first' });
    await client.server.faults({ ackDelayMs: [0, 0] });
    const second = await client.say(aliceLid, { text: 'second' });
    await client.stanza(isAck(first));
    const acks = client.stanzas.flatMap(({ tag, attrs }) => (tag === 'ack' ? attrs.id : []));
    expect(acks.filter((id) => id === first || id === second)).toEqual([second, first]);
  });

  test('is a refusal, and nobody hears the message', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ rejections: [463, 479] });
    for (const code of ['463', '479']) {
      const id = await client.say(aliceLid, { text: `refused with ${code}` });
      const { attrs } = await client.stanza(isAck(id));
      expect(attrs.error).toBe(code);
    }
    await works(client);
    const heard = await client.server.do('heard', { by: alice.number });
    expect(heard.map(({ text }) => text)).toEqual(['here too']);
  });

  test('is lost although the message arrives; the repeated message shows once', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ swallowedAcks: 1 });
    const id = await client.say(aliceLid, { text: 'once' });
    await client.server.hears(alice.number, { text: 'once' });
    await works(client);
    expect(client.stanzas.some(isAck(id))).toBe(false);
    await client.socket.sendMessage(aliceLid, { text: 'once' }, { messageId: id });
    await client.stanza(isAck(id));
    const heard = await client.server.hears(alice.number, { text: 'once', minDeliveries: 2 });
    expect(heard).toMatchObject({ id, deliveries: 2 });
    expect(await client.server.do('heard', { by: alice.number })).toHaveLength(2);
  });
});

test('the server’s clock can be wrong', async () => {
  const client = await PlainClient.start();
  const day = 24 * 3600;
  const right = await client.message(await client.server.say(alice.number, 'now'));
  await client.server.faults({ clockSkewSeconds: -2 * day });
  const wrong = await client.message(await client.server.say(alice.number, 'then'));
  const apart = Number(right.messageTimestamp) - Number(wrong.messageTimestamp);
  expect(Math.round(apart / day)).toBe(2);
});
