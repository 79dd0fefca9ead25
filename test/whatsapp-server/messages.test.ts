import { describe, expect, test } from 'vitest';
import type { Content } from './contents.ts';
import { alice, assistant, bob, family, PlainClient } from './plain-client.ts';

const aliceLid = `${alice.lid}@lid`;
const aliceNumber = `${alice.number}@s.whatsapp.net`;

describe('a direct message', () => {
  test('comes from a LID that names the number too', async () => {
    const client = await PlainClient.start();
    const id = await client.server.say(alice.number, 'hello');
    const message = await client.message(id);
    expect(message).toMatchObject({
      key: { remoteJid: aliceLid, remoteJidAlt: aliceNumber, fromMe: false },
      message: { conversation: 'hello' },
      pushName: 'Alice',
      upsert: 'notify',
    });
  });

  test('comes from a number that names the LID too', async () => {
    const client = await PlainClient.start();
    const content = { kind: 'text', text: 'hello' } as const;
    const id = await client.server.do('send', { by: alice.number, content, via: 'pn' });
    const { key } = await client.message(id);
    expect(key).toMatchObject({ remoteJid: aliceNumber, remoteJidAlt: aliceLid });
  });

  test.each([aliceLid, aliceNumber])('reaches its reader at %s, once', async (jid) => {
    const client = await PlainClient.start();
    const id = await client.say(jid, { text: 'hello' });
    const heard = await client.server.hears(alice.number, { text: '^hello$' });
    expect(heard).toMatchObject({ id, group: null, kind: 'extendedText', deliveries: 1 });
    await client.say(jid, { text: 'and again' });
    await client.server.hears(alice.number, { text: 'and again' });
    expect(await client.server.do('heard', { by: bob.number })).toEqual([]);
    expect(await client.server.do('heard', { by: alice.number })).toHaveLength(2);
  });

  test('also appears on the account’s own phone', async () => {
    const client = await PlainClient.start();
    const id = await client.say(aliceLid, { text: 'for Alice' });
    const copy = await client.server.hears(assistant.number, { text: 'for Alice' });
    expect(copy.id).toBe(id);
  });

  test('written on the phone comes as the client’s own', async () => {
    const client = await PlainClient.start();
    const content = { kind: 'text', text: 'by hand' } as const;
    const id = await client.server.do('sendFromPhone', { content, to: aliceLid });
    const { key, message } = await client.message(id);
    expect(key).toMatchObject({ remoteJid: aliceLid, fromMe: true });
    expect(message?.conversation).toBe('by hand');
    const self = `${assistant.lid}@lid`;
    const note = await client.server.do('sendFromPhone', { content, to: self });
    expect((await client.message(note)).key).toMatchObject({ remoteJid: self, fromMe: true });
  });
});

describe('a group message', () => {
  test('names group and sender, also without a new key', async () => {
    const client = await PlainClient.start();
    for (const text of ['with the key', 'without']) {
      const id = await client.server.sayInGroup(alice.number, family, text);
      const { key, message } = await client.message(id);
      expect(key).toMatchObject({
        remoteJid: family,
        participant: aliceLid,
        participantAlt: aliceNumber,
        fromMe: false,
      });
      expect(message?.conversation).toBe(text);
    }
  });

  test('reaches every member, and nobody who left', async () => {
    const client = await PlainClient.start();
    await client.say(family, { text: 'to all' });
    for (const { number } of [alice, bob, assistant])
      await client.server.hears(number, { text: 'to all', group: family });
    const change = { group: family, by: alice.number, remove: bob.number };
    await client.server.do('changeGroup', change);
    await client.event('group-participants.update');
    await client.say(family, { text: 'to the rest' });
    await client.server.hears(alice.number, { text: 'to the rest' });
    expect(await client.server.do('heard', { by: bob.number })).toHaveLength(1);
  });

  test('written on the phone comes as the client’s own', async () => {
    const client = await PlainClient.start();
    const id = await client.server.sayInGroup(assistant.number, family, 'by hand');
    const { key } = await client.message(id);
    expect(key).toMatchObject({ remoteJid: family, fromMe: true });
  });
});

describe('a group', () => {
  test('reports its members and each change', async () => {
    const client = await PlainClient.start();
    const { subject, participants } = await client.socket.groupMetadata(family);
    expect(subject).toBe('Family');
    expect(participants.map(({ id, phoneNumber }) => [id, phoneNumber])).toContainEqual([
      aliceLid,
      aliceNumber,
    ]);
    expect(participants).toHaveLength(3);
    const carol = { number: '15551110009', lid: '900000000000019', name: 'Carol' };
    await client.server.do('addPeer', carol);
    const change = { group: family, by: alice.number };
    await client.server.do('changeGroup', { ...change, subject: 'Kin', add: carol.number });
    const [renamed] = await client.event('groups.update');
    expect(renamed).toMatchObject({ id: family, subject: 'Kin' });
    const grown = await client.event('group-participants.update');
    expect(grown).toMatchObject({ id: family, action: 'add' });
    const groups = await client.socket.groupFetchAllParticipating();
    expect(groups[family]).toMatchObject({ subject: 'Kin', size: 4 });
    await client.server.waitState({ maxWaiting: 0 });
  });

  test('that does not exist has no members', async () => {
    const client = await PlainClient.start();
    await expect(client.socket.groupMetadata('120363999999999999@g.us')).rejects.toThrow();
  });
});

describe('what people send', () => {
  test('has the shape that WhatsApp gives it', async () => {
    const client = await PlainClient.start();
    const said = await client.server.say(alice.number, 'first');
    await client.message(said);
    const quote = { messageId: said, participant: aliceLid, text: 'first' };
    const mentions = [`${assistant.lid}@lid`];
    const contextInfo = { stanzaId: said, mentionedJid: mentions };
    const shapes: [Content, unknown][] = [
      [
        { kind: 'text', text: 'second', quote, mentions },
        { extendedTextMessage: { text: 'second', contextInfo } },
      ],
      [
        { kind: 'location', latitude: 52.5, longitude: 13.4, name: 'Berlin' },
        { locationMessage: { degreesLatitude: 52.5, name: 'Berlin' } },
      ],
      [
        { kind: 'contact', name: 'Maria', number: '+49170' },
        { contactMessage: { displayName: 'Maria', vcard: expect.stringContaining('+49170') } },
      ],
      [
        { kind: 'poll', question: 'Pizza?', options: ['yes', 'no'] },
        { pollCreationMessageV3: { name: 'Pizza?', options: [{ optionName: 'yes' }, {}] } },
      ],
    ];
    for (const [content, shape] of shapes) {
      const id = await client.server.say(alice.number, content);
      expect((await client.message(id)).message).toMatchObject(shape as object);
    }
  });

  test('can be edited, taken back and reacted to', async () => {
    const client = await PlainClient.start();
    const id = await client.server.say(alice.number, 'tpyo');
    await client.message(id);
    await client.server.say(alice.number, { kind: 'edit', messageId: id, text: 'typo' });
    const [edited] = await client.event('messages.update', ([first]) => first?.key.id === id);
    expect(edited?.update.message?.editedMessage?.message?.conversation).toBe('typo');
    const reaction = { kind: 'reaction', messageId: id, emoji: '👍', ofBot: false } as const;
    await client.server.say(alice.number, reaction);
    const [reacted] = await client.event('messages.reaction');
    expect(reacted).toMatchObject({ key: { id }, reaction: { text: '👍' } });
    await client.server.say(alice.number, { kind: 'deletion', messageId: id });
    const [deleted] = await client.event('messages.update', ([first]) => first?.key.id === id);
    expect(deleted?.update).toMatchObject({ message: null, messageStubType: 1 });
  });

  test('can be ephemeral or view-once', async () => {
    const client = await PlainClient.start();
    const content = { kind: 'text', text: 'psst' } as const;
    const shapes = [
      ['ephemeral', { ephemeralMessage: { message: { conversation: 'psst' } } }],
      ['view-once', { viewOnceMessageV2: { message: { conversation: 'psst' } } }],
    ] as const;
    for (const [wrap, shape] of shapes) {
      const id = await client.server.do('send', { by: alice.number, content, wrap });
      expect((await client.message(id)).message).toMatchObject(shape);
    }
  });

  test('arrives in order, however much it is', async () => {
    const client = await PlainClient.start();
    const texts = Array.from({ length: 200 }, (_, index) => `message ${index}`);
    const ids = await client.server.do('sendMany', {
      messages: texts.map((text) => ({ by: alice.number, content: { kind: 'text', text } })),
    });
    await client.message(ids.at(-1) ?? '');
    const heard = client.stanzas.flatMap(({ tag, attrs }) =>
      tag === 'message' && attrs.from === aliceLid ? [attrs.id] : [],
    );
    expect(heard).toEqual(ids);
    for (const id of ids) await client.message(id);
    expect(await client.server.waitState({ maxWaiting: 0 })).toMatchObject({ retryReceipts: 0 });
  });
});

describe('what people see', () => {
  test('are quotes, mentions, reactions, edits and deletions', async () => {
    const client = await PlainClient.start();
    const id = await client.server.say(alice.number, 'question');
    const quoted = await client.message(id);
    await client.socket.sendMessage(aliceLid, { text: 'answer', mentions: [aliceLid] }, { quoted });
    const answer = await client.server.hears(alice.number, { text: 'answer' });
    expect(answer).toMatchObject({ quotedId: id, mentions: [aliceLid] });
    await client.say(aliceLid, { react: { text: '👍', key: quoted.key } });
    const { reaction } = await client.server.hears(alice.number, { kind: 'reaction' });
    expect(reaction).toEqual({ messageId: id, emoji: '👍' });
    const key = { remoteJid: aliceLid, fromMe: true, id: answer.id };
    await client.say(aliceLid, { text: 'better answer', edit: key });
    const edit = await client.server.hears(alice.number, { kind: 'edit' });
    expect(edit).toMatchObject({ text: 'better answer', changes: answer.id });
    await client.say(aliceLid, { delete: key });
    const deletion = await client.server.hears(alice.number, { kind: 'deletion' });
    expect(deletion).toMatchObject({ text: '', changes: answer.id });
  });

  test('are signs of typing and of reading', async () => {
    const client = await PlainClient.start();
    const id = await client.server.say(alice.number, 'hello');
    const { key } = await client.message(id);
    await client.socket.sendPresenceUpdate('composing', aliceLid);
    await client.socket.sendPresenceUpdate('paused', aliceLid);
    await client.socket.readMessages([key]);
    const { presences, receipts } = await client.server.do('waitSeen', {
      by: alice.number,
      receipt: { id, type: 'read' },
      timeoutMs: 30_000,
    });
    expect(presences).toMatchObject([
      { state: 'composing', group: null },
      { state: 'paused', group: null },
    ]);
    expect(receipts.map(({ type }) => type)).toEqual(['delivery', 'read']);
  });

  test('is reported to the client: delivered, read, typing', async () => {
    const client = await PlainClient.start();
    const id = await client.say(aliceLid, { text: 'hello' });
    await client.stanza(({ tag, attrs }) => tag === 'receipt' && attrs.id === id && !attrs.type);
    await client.server.do('read', { by: alice.number, messageId: id });
    await client.stanza(({ tag, attrs }) => tag === 'receipt' && attrs.type === 'read');
    await client.socket.presenceSubscribe(aliceLid);
    await client.socket.presenceSubscribe(family);
    await client.server.waitState({ isAvailable: true, watches: family });
    await client.server.do('type', { by: alice.number });
    const { presences } = await client.event('presence.update');
    expect(presences[aliceLid]?.lastKnownPresence).toBe('composing');
    await client.server.do('type', { by: alice.number, group: family, isOver: true });
    const { id: where } = await client.event('presence.update');
    expect(where).toBe(family);
  });
});
