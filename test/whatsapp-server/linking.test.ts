import { describe, expect, test } from 'vitest';
import { alice, assistant, family, PlainClient } from './plain-client.ts';

describe('a client is linked', () => {
  test('by its QR code, and logs in with its keys after the restart', async () => {
    const client = await PlainClient.prepare();
    client.connect();
    expect(await client.server.do('state', {})).toMatchObject({ isLinked: false, device: null });
    await client.server.do('scanQr', { qr: await client.qr() });
    await client.event('connection.update', ({ isNewLogin }) => isNewLogin === true);
    await client.reconnectAfter(515);
    const state = await client.server.waitState({ isReady: true });
    expect(state).toMatchObject({ isLinked: true, logins: 1, attempts: 2 });
    expect(state.device).toBe(client.socket.user?.id);
    expect(client.socket.user?.lid).toMatch(new RegExp(`^${assistant.lid}:\\d+@lid$`));
  });

  test('by the pairing code that it shows', async () => {
    const client = await PlainClient.prepare();
    client.connect();
    await client.qr();
    const code = await client.socket.requestPairingCode(assistant.number);
    await client.server.waitState({ isCodeRequested: true });
    await client.server.do('enterCode', { code });
    await client.reconnectAfter(515);
    await client.server.waitState({ isReady: true, isLinked: true });
  });

  test('not by a wrong code, but by the right one after that', async () => {
    const client = await PlainClient.prepare();
    client.connect();
    await client.qr();
    const code = await client.socket.requestPairingCode(assistant.number);
    const other = code.startsWith('A') ? `B${code.slice(1)}` : `A${code.slice(1)}`;
    await client.server.do('enterCode', { code: other });
    await client.server.waitState({ minWrongCodes: 1 });
    expect(await client.server.do('state', {})).toMatchObject({ isLinked: false });
    await client.server.do('enterCode', { code });
    await client.reconnectAfter(515);
    await client.server.waitState({ isLinked: true });
  });

  test('not by the QR code of another client', async () => {
    const client = await PlainClient.prepare();
    client.connect();
    await client.qr();
    const qr = '2@x,AAAA,AAAA,AAAA';
    await expect(client.server.do('scanQr', { qr })).rejects.toThrow(/not the waiting client/);
    expect(await client.server.do('state', {})).toMatchObject({ isLinked: false });
  });

  test('and receives names and history at its first login only', async () => {
    const client = await PlainClient.prepare();
    const past = { by: alice.number, text: 'long ago', atSeconds: 1_700_000_000 };
    await client.server.do('addHistory', past);
    await client.link();
    const { contacts, messages } = await client.event('messaging-history.set');
    const [lid, phoneNumber] = [`${alice.lid}@lid`, `${alice.number}@s.whatsapp.net`];
    expect(contacts).toMatchObject([{ id: lid, phoneNumber, name: 'Alice' }]);
    expect(messages).toMatchObject([
      { key: { remoteJid: lid }, message: { conversation: 'long ago' } },
    ]);
    await client.open();
    const id = await client.server.say(alice.number, 'hello');
    await client.message(id);
    const peers = client.stanzas.filter(({ attrs }) => attrs.category === 'peer');
    expect(peers).toHaveLength(1);
  });
});

describe('a client is unlinked', () => {
  test('from the phone, and cannot come back', async () => {
    const client = await PlainClient.start();
    await client.server.do('unlinkFromPhone', {});
    expect(await client.closed()).toBe(401);
    client.connect();
    expect(await client.closed()).toBe(401);
    expect(await client.server.do('state', {})).toMatchObject({ isLinked: false, logins: 1 });
  });

  test('by itself', async () => {
    const client = await PlainClient.start();
    await client.socket.logout();
    await client.server.waitState({ isLinked: false });
  });
});

test('a device that is linked again can read new messages, also in groups', async () => {
  const client = await PlainClient.start();
  await client.message(await client.server.sayInGroup(alice.number, family, 'to the old one'));
  await client.socket.logout();
  await client.server.waitState({ isLinked: false });
  const next = client.stranger();
  await next.link();
  const direct = await next.server.say(alice.number, 'to the new one');
  const inGroup = await next.server.sayInGroup(alice.number, family, 'to the new one');
  for (const id of [direct, inGroup])
    expect((await next.message(id)).message?.conversation).toBe('to the new one');
  expect(await next.server.do('state', {})).toMatchObject({ isLinked: true, retryReceipts: 0 });
});

test('of two clients with the same keys the later one stays connected', async () => {
  const client = await PlainClient.start();
  const first = client.socket;
  const closed = new Promise((resolve) =>
    first.ev.on('connection.update', ({ lastDisconnect }) => resolve(lastDisconnect?.error)),
  );
  const twin = client.twin();
  await twin.open();
  expect(await closed).toMatchObject({ output: { statusCode: 440 } });
  const id = await client.server.say(alice.number, 'to whom?');
  await twin.message(id);
});
