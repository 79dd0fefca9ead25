/**
 * What readMessage makes of messages of every kind, and of random bytes. Every message is encoded
 * and decoded first, as a real one is.
 */
import { generateWAMessageContent, proto, type WAMessage } from 'baileys';
import { describe, expect, test } from 'vitest';
import { type Incoming, readMessage } from './content.ts';

const { REVOKE, MESSAGE_EDIT, APP_STATE_SYNC_KEY_SHARE } = proto.Message.ProtocolMessage.Type;
const id = '3EB0ABCDEF0123456789';

function read(message: proto.IMessage | null): Incoming {
  const key = { remoteJid: '15551110001@s.whatsapp.net', id, fromMe: false };
  const bytes = proto.WebMessageInfo.encode({ key, message }).finish();
  return readMessage(proto.WebMessageInfo.decode(bytes) as WAMessage);
}

function saidIn(message: proto.IMessage | null) {
  const incoming = read(message);
  if (!('said' in incoming)) throw new Error(`a ${incoming.kind} says nothing`);
  return incoming.said;
}

function textOf(message: proto.IMessage | null): string {
  return saidIn(message).text;
}

function mediaOf(message: proto.IMessage) {
  const incoming = read(message);
  return incoming.kind === 'message' ? incoming.media : null;
}

function quoteOf(quotedMessage: proto.IMessage) {
  const contextInfo = { stanzaId: 'Q1', participant: '900@lid', quotedMessage };
  const incoming = read({ extendedTextMessage: { text: 'yes', contextInfo } });
  return incoming.kind === 'message' ? incoming.quote : null;
}

describe('text', () => {
  test('is taken as it stands, short or extended', async () => {
    expect(read({ conversation: 'hello' })).toEqual({
      kind: 'message',
      id,
      said: { text: 'hello', origin: 'typed', mentions: [] },
      quote: null,
      media: null,
      isContext: false,
    });
    const upload = () => Promise.reject(new Error('there is nothing to upload'));
    const content = { text: 'see https://example.org', linkPreview: null };
    expect(textOf(await generateWAMessageContent(content, { upload }))).toBe(content.text);
  });

  test('without a word is not passed over', () => {
    expect(textOf({ conversation: '' })).toMatch(/kind that I cannot read: conversation/);
    expect(textOf({ extendedTextMessage: { text: '' } })).toMatch(/cannot read: extendedText/);
  });

  test('is bounded', () => {
    expect(textOf({ conversation: 'x'.repeat(1_000_000) })).toHaveLength(70_000);
  });
});

describe('mentions', () => {
  const mentioning = (text: string, ...mentionedJid: string[]) => ({
    extendedTextMessage: { text, contextInfo: { mentionedJid } },
  });

  test('by either identity stand beside the text, which stays as it was typed', () => {
    const message = mentioning('@900 and @4917 and @55', '900@lid', '4917:3@s.whatsapp.net');
    expect(saidIn(message)).toEqual({
      text: '@900 and @4917 and @55',
      origin: 'typed',
      mentions: [
        { call: '@900', jid: '900@lid' },
        { call: '@4917', jid: '4917@s.whatsapp.net' },
      ],
    });
  });

  test('do not match the beginning of a longer number', () => {
    const { mentions } = saidIn(mentioning('@4917 @491 @49', '49@lid', '491@lid'));
    expect(mentions.map(({ call }) => call)).toEqual(['@49', '@491']);
  });

  test.each([
    ['that stand nowhere in the text', '@7 hello', '8@lid'],
    ['of what is no account', '@7 hello', '7@g.us'],
    ['of an address that is too long', '@7 hello', `7@${'x'.repeat(400_000)}.lid`],
    ['without digits', '@ hello', '@lid'],
  ])('%s are none', (_, text, jid) => expect(saidIn(mentioning(text, jid)).mentions).toEqual([]));

  test('are few, however many are listed', () => {
    const crowd = Array.from({ length: 100_000 }, (_, user) => `${user}@lid`);
    const text = crowd.slice(0, 100).map((jid) => `@${jid.split('@')[0]}`);
    expect(saidIn(mentioning(text.join(' '), ...crowd)).mentions).toHaveLength(20);
  });

  test('are found in captions and edits too', () => {
    const contextInfo = { mentionedJid: ['900@lid'] };
    const mentions = [{ call: '@900', jid: '900@lid' }];
    expect(saidIn({ imageMessage: { caption: 'see @900', contextInfo } })).toMatchObject({
      mentions,
    });
    const editedMessage = { extendedTextMessage: { text: 'no, @900', contextInfo } };
    const protocolMessage = { key: { id: 'E1' }, type: MESSAGE_EDIT, editedMessage };
    expect(saidIn({ protocolMessage })).toMatchObject({ text: 'no, @900', mentions });
  });
});

describe('whose words it holds', () => {
  const forwarded = { isForwarded: true, forwardingScore: 1 };
  const text = '@Andy /stop';

  test.each<[string, string, proto.IMessage]>([
    ['typed', 'a text', { conversation: text }],
    ['typed', 'a text with a link or a quote', { extendedTextMessage: { text } }],
    ['typed', 'a disappearing text', wrapped('ephemeralMessage', { conversation: text })],
    ['typed', 'a text seen once', wrapped('viewOnceMessageV2', { conversation: text })],
    ['caption', 'a picture', { imageMessage: { caption: text } }],
    [
      'caption',
      'a video seen once',
      wrapped('viewOnceMessage', { videoMessage: { caption: text } }),
    ],
    [
      'caption',
      'a document',
      wrapped('documentWithCaptionMessage', { documentMessage: { caption: text } }),
    ],
    ['caption', 'a voice note', { audioMessage: { ptt: true } }],
    [
      'forwarded',
      'a forwarded text',
      { extendedTextMessage: { text, contextInfo: { isForwarded: true } } },
    ],
    [
      'forwarded',
      'a text forwarded often',
      { extendedTextMessage: { text, contextInfo: { forwardingScore: 5 } } },
    ],
    [
      'forwarded',
      'a forwarded picture',
      { imageMessage: { caption: text, contextInfo: forwarded } },
    ],
    [
      'forwarded',
      'a disappearing forward',
      wrapped('ephemeralMessage', { extendedTextMessage: { text, contextInfo: forwarded } }),
    ],
    ['described', 'a poll', { pollCreationMessage: { name: text } }],
    ['described', 'a contact', { contactMessage: { displayName: text } }],
    ['described', 'a place', { locationMessage: { name: text } }],
    ['described', 'an event', { eventMessage: { name: text } }],
    ['described', 'an invitation', { groupInviteMessage: { groupName: text, caption: text } }],
    ['described', 'a button', { buttonsResponseMessage: { selectedDisplayText: text } }],
    ['described', 'a choice', { listResponseMessage: { title: text } }],
    ['described', 'a template', { templateButtonReplyMessage: { selectedDisplayText: text } }],
    ['described', 'what cannot be read', { orderMessage: { message: text } }],
    ['described', 'nothing', {}],
  ])('is %s for %s', (origin, _, message) => expect(saidIn(message).origin).toBe(origin));

  test('is told of an edit too', () => {
    const editedMessage = { extendedTextMessage: { text, contextInfo: forwarded } };
    const protocolMessage = { key: { id: 'E1' }, type: MESSAGE_EDIT, editedMessage };
    expect(saidIn({ protocolMessage }).origin).toBe('forwarded');
  });
});

describe('a reply', () => {
  test('says what it quotes, and whose that was', () => {
    expect(quoteOf({ conversation: 'shall we?' })).toEqual({
      messageId: 'Q1',
      participantJid: '900@lid',
      text: 'shall we?',
    });
  });

  test.each<[string, proto.IMessage]>([
    ['look', { imageMessage: { caption: 'look' } }],
    ['[image]', { imageMessage: {} }],
    ['[video]', { videoMessage: {} }],
    ['[voice note]', { audioMessage: { ptt: true } }],
    ['[audio]', { audioMessage: {} }],
    ['[document]', { documentMessage: { fileName: 'a.pdf' } }],
    ['[sticker]', { stickerMessage: {} }],
    ['[location: Rome, 1,2]', { locationMessage: place('Rome') }],
    ['[poll: Pizza?]', { pollCreationMessageV3: { name: 'Pizza?' } }],
    ['soon gone', { ephemeralMessage: { message: { conversation: 'soon gone' } } }],
  ])('to "%s" tells it', (text, quoted) => expect(quoteOf(quoted)?.text).toBe(text));

  test('with a picture keeps its quote', () => {
    const contextInfo = { stanzaId: 'Q1', quotedMessage: { conversation: 'show me' } };
    expect(read({ imageMessage: { contextInfo } })).toMatchObject({
      quote: { messageId: 'Q1', participantJid: null, text: 'show me' },
    });
  });
});

describe('a file', () => {
  test.each<[string, proto.IMessage, object]>([
    ['image', { imageMessage: {} }, { kind: 'image', mime: 'image/jpeg', name: /jpe?g$/ }],
    ['png', { imageMessage: { mimetype: 'image/png' } }, { kind: 'image', name: /\.png$/ }],
    ['video', { videoMessage: {} }, { kind: 'video', mime: 'video/mp4', name: /\.mp4$/ }],
    ['round video', { ptvMessage: {} }, { kind: 'video', mime: 'video/mp4' }],
    ['GIF', { videoMessage: { gifPlayback: true } }, { kind: 'video', mime: 'video/mp4' }],
    ['voice note', { audioMessage: { ptt: true } }, { kind: 'audio', name: /\.og[ag]$/ }],
    ['song', { audioMessage: { mimetype: 'audio/mpeg' } }, { kind: 'audio', mime: 'audio/mpeg' }],
    ['sticker', { stickerMessage: {} }, { kind: 'image', mime: 'image/webp', name: /\.webp$/ }],
    ['moving sticker', wrapped('lottieStickerMessage', { stickerMessage: {} }), { kind: 'image' }],
    ['document', { documentMessage: {} }, { mime: 'application/octet-stream', name: /\.bin$/ }],
    ['named one', { documentMessage: { fileName: 'plan.pdf' } }, { name: /^plan\.pdf$/ }],
    ['titled one', { documentMessage: { title: 'plan' } }, { name: /^plan$/ }],
  ])('such as a %s has a kind, a type and a name', (_, message, expected) => {
    const matching = Object.entries(expected).map(([field, value]) => [
      field,
      value instanceof RegExp ? expect.stringMatching(value) : value,
    ]);
    expect(mediaOf(message)).toMatchObject(Object.fromEntries(matching));
  });

  test('comes with its caption, or without a word', () => {
    const caption = 'look';
    for (const type of ['imageMessage', 'videoMessage', 'documentMessage', 'ptvMessage'])
      expect(textOf({ [type]: { caption } })).toBe(caption);
    expect(textOf({ imageMessage: {} })).toBe('');
    expect(textOf({ audioMessage: {} })).toBe('');
    expect(textOf({ audioMessage: { ptt: true } })).toBe('[voice note]');
    expect(textOf({ stickerMessage: {} })).toBe('[sticker]');
  });

  test('has a bounded name and type, and keeps the extension', () => {
    const documentMessage = { fileName: `${'a'.repeat(5000)}.pdf`, mimetype: 'm'.repeat(5000) };
    const media = mediaOf({ documentMessage });
    expect(media?.name).toMatch(/^a+\.pdf$/);
    expect(media?.name).toHaveLength(120);
    expect(media?.mime).toHaveLength(120);
  });
});

describe('what is no text and no file', () => {
  test.each<[string, proto.IMessage]>([
    ['[location: Rome, Via 1, 1,2]', { locationMessage: { ...place('Rome'), address: 'Via 1' } }],
    ['[location: 0,0]', { locationMessage: {} }],
    ['[location: on my way, 1,2] (live)', { liveLocationMessage: place('', 'on my way') }],
    ['[location: at the gate, 1,2]', { locationMessage: { ...place(''), comment: 'at the gate' } }],
    ['[contact: Maria, +49 170 1, m@x.org]', { contactMessage: card('Maria', '+49 170 1') }],
    [
      '[contact: Al, 1, m@x.org]\n[contact: Bo, 2, m@x.org]',
      { contactsArrayMessage: { contacts: [card('Al', '1'), card('Bo', '2')] } },
    ],
    ['[poll: Pizza?]\n- yes\n- no', { pollCreationMessage: poll('Pizza?', 'yes', 'no') }],
    ['[poll: Two?]\n- yes', { pollCreationMessageV2: poll('Two?', 'yes') }],
    ['[poll: Three?]\n- yes', { pollCreationMessageV3: poll('Three?', 'yes') }],
    ['[poll: Five?]\n- yes', { pollCreationMessageV5: poll('Five?', 'yes') }],
    [
      '[poll: Four?]\n- yes',
      wrapped('pollCreationMessageV4', { pollCreationMessageV3: poll('Four?', 'yes') }),
    ],
    [
      '[event: Party, 2026-01-02T03:04:05.000Z, Rome, bring salad]',
      {
        eventMessage: {
          name: 'Party',
          startTime: Date.UTC(2026, 0, 2, 3, 4, 5) / 1000,
          location: { name: 'Rome' },
          description: 'bring salad',
        },
      },
    ],
    ['[event: cancelled, Party]', { eventMessage: { name: 'Party', isCanceled: true } }],
    [
      '[invitation to the group Family] join us',
      { groupInviteMessage: { groupName: 'Family', caption: 'join us' } },
    ],
    ['[a message that only the phone shows]', { placeholderMessage: {} }],
  ])('is told as "%s"', (text, message) => expect(textOf(message)).toBe(text));

  test('is named when it cannot be read', () => {
    const cannot = '[a message of a kind that I cannot read';
    expect(textOf({ orderMessage: { message: 'two' } })).toBe(`${cannot}: order]`);
    expect(textOf({ call: {} })).toBe(`${cannot}: unknown]`);
    expect(textOf({ listResponseMessage: { title: '' } })).toBe(`${cannot}: listResponse]`);
    expect(textOf({})).toBe(`${cannot}: unknown]`);
    expect(textOf(null)).toBe('[a message that could not be read]');
  });

  test('does not fail over an event at an impossible time', () => {
    const eventMessage = { name: 'Never', startTime: Number.MAX_SAFE_INTEGER };
    expect(textOf({ eventMessage })).toBe('[event: Never]');
  });

  test.each<[RegExp, proto.IMessage]>([
    [/voted/, { pollUpdateMessage: {} }],
    [/pinned/, { pinInChatMessage: {} }],
    [/kept/, { keepInChatMessage: {} }],
    [/event/, { encEventResponseMessage: {} }],
    [/reacted/, { encReactionMessage: {} }],
    [/changed/, { secretEncryptedMessage: {} }],
    [/album/, { albumMessage: { expectedImageCount: 2 } }],
  ])('and is an action (%s) wakes nobody', (words, message) => {
    expect(read(message)).toMatchObject({
      kind: 'message',
      said: { text: expect.stringMatching(words) },
      isContext: true,
    });
  });
});

describe('wrappers', () => {
  const inner = { imageMessage: { caption: 'inside', mimetype: 'image/png' } };

  test.each([
    'ephemeralMessage',
    'viewOnceMessage',
    'viewOnceMessageV2',
    'viewOnceMessageV2Extension',
    'documentWithCaptionMessage',
    'deviceSentMessage',
    'associatedChildMessage',
    'groupMentionedMessage',
    'groupStatusMessage',
    'groupStatusMessageV2',
    'botInvokeMessage',
    'botForwardedMessage',
    'questionMessage',
    'limitSharingMessage',
    'editedMessage',
  ] as const)('such as %s are taken off', (wrapper) => {
    expect(textOf(wrapped(wrapper, inner))).toBe('inside');
    expect(mediaOf(wrapped(wrapper, inner))).toMatchObject({ kind: 'image', mime: 'image/png' });
  });

  test('are taken off one after the other, to a bound', () => {
    let message: proto.IMessage = { conversation: 'inside' };
    const wrap = (times: number) => {
      for (let time = 0; time < times; time += 1) message = wrapped('ephemeralMessage', message);
    };
    wrap(3);
    expect(textOf(message)).toBe('inside');
    wrap(500);
    expect(textOf(message)).toMatch(/cannot read: ephemeral/);
  });

  test('with nothing in them are told as unreadable', () => {
    expect(textOf({ viewOnceMessageV2: {} })).toBe('[a message that could not be read]');
  });

  test('do not hide a quote', () => {
    const contextInfo = { stanzaId: 'Q1', quotedMessage: { conversation: 'before' } };
    const extendedTextMessage = { text: 'after', contextInfo };
    expect(read(wrapped('ephemeralMessage', { extendedTextMessage }))).toMatchObject({
      said: { text: 'after' },
      quote: { text: 'before' },
    });
  });
});

describe('changes', () => {
  const key = { remoteJid: '15551110001@s.whatsapp.net', fromMe: true, id: 'M1' };

  test('are edits and deletions of a message', () => {
    const edit = { key, type: MESSAGE_EDIT, editedMessage: { conversation: 'better' } };
    const said = { text: 'better', origin: 'typed', mentions: [] };
    const told = { kind: 'edit', id, messageId: 'M1', said };
    expect(read({ protocolMessage: edit })).toEqual(told);
    expect(read(wrapped('editedMessage', { protocolMessage: edit }))).toEqual(told);
    const caption = { ...edit, editedMessage: { imageMessage: { caption: 'better' } } };
    const origin = 'caption';
    expect(read({ protocolMessage: caption })).toEqual({ ...told, said: { ...said, origin } });
    expect(read({ protocolMessage: { key, type: REVOKE } })).toEqual({
      kind: 'deletion',
      id,
      messageId: 'M1',
    });
  });

  test('that devices tell each other are nobody’s message', () => {
    for (const protocolMessage of [
      { key, type: APP_STATE_SYNC_KEY_SHARE },
      { key, type: MESSAGE_EDIT },
      { key, type: APP_STATE_SYNC_KEY_SHARE, editedMessage: { conversation: 'no' } },
      { key },
    ])
      expect(read({ protocolMessage })).toEqual({ kind: 'ignored' });
  });

  test('of mind are context: a reaction, given or taken back', () => {
    const reactionMessage = { key: { ...key, participant: '900@lid' }, text: '🎉' };
    expect(read({ reactionMessage })).toEqual({
      kind: 'message',
      id,
      said: { text: '[reacted 🎉]', origin: 'described', mentions: [] },
      media: null,
      isContext: true,
      quote: { messageId: 'M1', participantJid: '900@lid', text: '' },
      reaction: { messageId: 'M1', emoji: '🎉' },
    });
    expect(read({ reactionMessage: { key, text: '' } })).not.toHaveProperty('reaction');
    expect(textOf({ reactionMessage: { key, text: '' } })).toBe('[took a reaction back]');
    expect(textOf({ reactionMessage: { key, text: 'x'.repeat(9000) } })).toHaveLength(30);
  });

  test('in a direct chat do not take the sender’s word for whose the message was', () => {
    // From the sender's side, `remoteJid` is the assistant and would be taken for the author.
    expect(read({ reactionMessage: { key, text: '🎉' } })).toMatchObject({
      quote: { participantJid: null },
    });
  });
});

test('whatever bytes decode, something short enough comes of them', () => {
  const random = randomFrom(20);
  const seen = { decoded: 0, kinds: new Set<string>() };
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = randomMessage(random, 4);
    const message = decodeOrNull(bytes);
    if (!message) continue;
    const incoming = readMessage({ key: { id }, message } as WAMessage);
    seen.decoded += 1;
    seen.kinds.add(incoming.kind);
    if (incoming.kind !== 'message') continue;
    expect(incoming.said.text || incoming.media).toBeTruthy();
    expect(incoming.said.text.length).toBeLessThanOrEqual(70_000);
  }
  expect(seen.decoded).toBeGreaterThan(5000);
  expect([...seen.kinds].sort()).toEqual(['deletion', 'edit', 'ignored', 'message']);
});

function place(name: string, caption = '') {
  return { degreesLatitude: 1, degreesLongitude: 2, name, ...(caption && { caption }) };
}

function card(displayName: string, number: string) {
  const lines = ['BEGIN:VCARD', `FN:${displayName}`, `item1.TEL;waid=49170:${number}`];
  return { displayName, vcard: [...lines, 'EMAIL:m@x.org', 'END:VCARD'].join('\r\n') };
}

function poll(name: string, ...options: string[]) {
  return { name, options: options.map((optionName) => ({ optionName })) };
}

function wrapped(wrapper: keyof proto.IMessage, message: proto.IMessage): proto.IMessage {
  return { [wrapper]: { message } };
}

/** Numbers from 0 up to a bound, the same on every run. */
function randomFrom(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** Fields of random numbers and types, some nested: valid protocol buffers in form only. */
function randomMessage(random: (bound: number) => number, depth: number): Buffer {
  const fields = Array.from({ length: 1 + random(3) }, () => {
    // An edit is a field 12 of type (field 2) 14 with a field 14: chance alone would not find it.
    const number = [2, 12, 14][random(6)] ?? 1 + random(120);
    const type = number === 2 || random(8) === 0 ? 0 : 2;
    const content =
      depth > 0 && random(4) > 0
        ? randomMessage(random, depth - 1)
        : Buffer.from(Array.from({ length: random(12) }, () => random(256)));
    const value =
      type === 0 ? [random(2) === 0 ? 14 : random(128)] : [...varint(content.length), ...content];
    return Buffer.from([...varint((number << 3) | type), ...value]);
  });
  return Buffer.concat(fields);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

function decodeOrNull(bytes: Buffer): proto.Message | null {
  try {
    return proto.Message.decode(bytes);
  } catch {
    // Not a message: Baileys reports such bytes as unreadable.
    return null;
  }
}
