/**
 * Files both ways: with the real Baileys through the stand-in server, and byte by byte against a
 * server that cuts, damages and redirects. No host outside this machine is asked or looked up.
 */
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import dns from 'node:dns';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { getMediaKeys, proto, type WAMessage, type WASocket } from 'baileys';
import { generate } from 'selfsigned';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { LinkedConnection } from '../../../test/support/linked-connection.ts';
import { alice } from '../../../test/support/linked-host.ts';
import { temporaryFolder } from '../../../test/support/store.ts';
import type { Content } from '../../../test/whatsapp-server/contents.ts';
import { deferred } from '../../deferred.ts';
import { readMessage } from './content.ts';
import { mediaAttachment, outgoingContent } from './media.ts';

// The servers here have certificates of their own, which a running process cannot be made to trust.
beforeEach(() => vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0'));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

const megabyte = randomBytes(1024 * 1024);
const certificate = generate([{ name: 'commonName', value: '127.0.0.1' }]);

describe('a file that a person sends', () => {
  test('arrives as it left, of whatever kind', async () => {
    const linked = await LinkedConnection.start();
    for (const kind of ['image', 'video', 'audio', 'voice', 'document', 'sticker'] as const) {
      const open = await received(linked, { kind, base64: megabyte.toString('base64') });
      expect((await buffer(await open())).equals(megabyte), kind).toBe(true);
    }
  });

  test('is uploaded again by the phone when WhatsApp has forgotten it', async () => {
    const linked = await LinkedConnection.start();
    const sent = { kind: 'image', base64: megabyte.toString('base64') } as const;
    const open = await received(linked, sent);
    const [id = ''] = linked.inboxIds();
    await linked.server.do('expireMedia', { messageId: id });
    expect((await buffer(await open())).equals(megabyte)).toBe(true);
  });

  test('that breaks off, or that WhatsApp refuses, is never taken for whole', async () => {
    const linked = await LinkedConnection.start();
    const sent = { kind: 'image', base64: megabyte.toString('base64') } as const;
    const open = await received(linked, sent);
    await linked.server.faults({ mediaAnswers: ['truncate', 500] });
    await expect(open().then(buffer)).rejects.toThrow();
    await expect(open()).rejects.toThrow('WhatsApp does not have it (500)');
    expect((await buffer(await open())).equals(megabyte)).toBe(true);
  });

  test('cannot be had without a connection', async () => {
    const file = await sealed(Buffer.from('x'));
    const { open } = attachment(file, null);
    await expect(open()).rejects.toThrow('WhatsApp is not connected');
  });
});

describe('the bytes of a file', () => {
  test.each([0, 1, 15, 16, 17, 70_000])('come whole when they are %d', async (length) => {
    const plain = randomBytes(length);
    const file = await sealed(plain);
    const host = await listen((_, response) => {
      // Split as a network might: within cipher blocks and within the MAC.
      for (const cut of [0, 5, 21, file.bytes.length - 3])
        response.write(file.bytes.subarray(cut, nextCut(cut, file.bytes.length)));
      response.end();
    });
    const { open } = attachment(file, socketFor(host.name));
    expect((await buffer(await open())).equals(plain)).toBe(true);
  });

  test('come as they arrive', async () => {
    const file = await sealed(megabyte);
    const end = new AbortController();
    const host = await listen((_, response) => {
      response.write(file.bytes.subarray(0, 500_000));
      end.signal.onabort = () => response.end(file.bytes.subarray(500_000));
    });
    const stream = await attachment(file, socketFor(host.name)).open();
    const [first] = await once(stream, 'data');
    stream.pause();
    expect(megabyte.subarray(0, first.length).equals(first)).toBe(true);
    end.abort();
    const rest = await buffer(stream);
    expect(first.length + rest.length).toBe(megabyte.length);
  });

  test('are no longer asked for when nobody wants them', async () => {
    const file = await sealed(megabyte);
    const host = await listen((_, response) => response.write(file.bytes.subarray(0, 500_000)));
    const stream = await attachment(file, socketFor(host.name)).open();
    await once(stream, 'data');
    const [, response] = host.requests[0] ?? [];
    const closed = once(response ?? stream, 'close');
    stream.destroy();
    await closed;
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['one bit is wrong', (bytes) => flipped(bytes, 20)],
    ['the proof is wrong', (bytes) => flipped(bytes, bytes.length - 1)],
    ['the last are missing', (bytes) => bytes.subarray(0, -16)],
    ['there are too many', (bytes) => Buffer.concat([bytes, Buffer.alloc(16)])],
    ['there are next to none', (bytes) => bytes.subarray(0, 4)],
    ['there are none', () => Buffer.alloc(0)],
  ])('are refused when %s', async (_, damage) => {
    const file = await sealed(randomBytes(1000));
    const host = await listen((_, response) => response.end(damage(file.bytes)));
    const { open } = attachment(file, socketFor(host.name));
    await expect(open().then(buffer)).rejects.toThrow('it arrived damaged');
  });

  test('are not asked for without a key', async () => {
    const file = await sealed(megabyte);
    const host = await listen((_, response) => response.end(file.bytes));
    const { open } = attachment({ ...file, mediaKey: null }, socketFor(host.name));
    await expect(open()).rejects.toThrow();
  });
});

describe('when a file has expired', () => {
  test.each([404, 410])('the phone is asked once, and the new place is used (%d)', async (code) => {
    const file = await sealed(megabyte);
    const host = await listen(({ url }, response) =>
      url === '/again' ? response.end(file.bytes) : response.writeHead(code).end(),
    );
    const asked: string[] = [];
    const socket = socketFor(host.name, async (message) => {
      asked.push(message.key.id ?? '');
      return messageWith({ ...file, directPath: '/again' });
    });
    const { open } = attachment(file, socket);
    expect((await buffer(await open())).equals(megabyte)).toBe(true);
    expect(asked).toEqual(['M1']);
  });

  test('also at the new place it is given up', async () => {
    const host = await listen((_, response) => response.writeHead(410).end());
    const file = await sealed(megabyte);
    const { open } = attachment(
      file,
      socketFor(host.name, async (message) => message),
    );
    await expect(open()).rejects.toThrow('WhatsApp does not have it (410)');
    expect(host.requests).toHaveLength(2);
  });

  test('a phone that says nothing is not waited for longer than half a minute', async () => {
    const host = await listen((_, response) => response.writeHead(410).end());
    const asked = deferred<void>();
    const never = () => {
      asked.resolve();
      return new Promise<never>(() => {});
    };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const opened = attachment(await sealed(megabyte), socketFor(host.name, never)).open();
    const refused = expect(opened).rejects.toThrow('the phone did not upload it again');
    await asked.promise;
    await vi.advanceTimersByTimeAsync(30_000);
    await refused;
  });
});

describe('a sender who names a place of their own', () => {
  test('has the file asked for at WhatsApp all the same', async () => {
    const file = await sealed(megabyte);
    const host = await listen((_, response) => response.end(file.bytes));
    const theirs = await listen((_, response) => response.end(file.bytes));
    const places = [theirs.name, 'mmg.whatsapp.net.invalid', 'mmgwhatsapp.net', `${theirs.name}#`];
    for (const place of places) {
      const { open } = attachment({ ...file, url: `https://${place}/file` }, socketFor(host.name));
      expect((await buffer(await open())).equals(megabyte)).toBe(true);
    }
    expect(theirs.connections).toBe(0);
  });

  test('is believed only where that is a host of WhatsApp', async () => {
    const file = await sealed(megabyte);
    const first = await listen((_, response) => response.end(file.bytes));
    const second = await listen((_, response) => response.end(file.bytes));
    const socket = socketFor([first.name, second.name]);
    const openAt = (url: string) => attachment({ ...file, url }, socket).open();
    await openAt(`https://${second.name}/x`).then(buffer);
    expect([first.requests.length, second.requests.length]).toEqual([0, 1]);

    const lookup = vi.spyOn(dns, 'lookup').mockImplementation(() => {
      throw new Error('nobody is looked up here');
    });
    onTestFinished(() => lookup.mockRestore());
    await expect(openAt('https://media-1.whatsapp.net/x')).rejects.toThrow();
    expect(lookup.mock.calls.map(([name]) => name)).toEqual(['media-1.whatsapp.net']);
    for (const name of ['evilwhatsapp.net', 'whatsapp.net.evil.org', 'a.whatsapp.net:444'])
      await openAt(`https://${name}/x`).then(buffer);
    expect(first.requests).toHaveLength(3);
    expect(lookup).toHaveBeenCalledOnce();
  });

  test('in the path is refused', async () => {
    const file = await sealed(megabyte);
    const host = await listen((_, response) => response.end(file.bytes));
    const theirs = await listen((_, response) => response.end(file.bytes));
    const at = theirs.name;
    for (const directPath of [
      `//${at}/x`,
      `/\\${at}/x`,
      `/\t/${at}/x`,
      `https://${at}/x`,
      `@${at}/x`,
      `.${at}/x`,
      '',
      'x',
      'file:///etc/passwd',
    ])
      for (const url of ['', `https://${at}/x`, `https://x.whatsapp.net@${at}/x`, 'http://[']) {
        const { open } = attachment({ ...file, url, directPath }, socketFor(host.name));
        await expect(open(), `${url} ${directPath}`).rejects.toThrow(/address/);
      }
    expect(theirs.connections + host.connections).toBe(0);
  });

  test('by way of a redirection is not followed', async () => {
    const theirs = await listen((_, response) => response.end('secret'));
    const location = `https://${theirs.name}/x`;
    const host = await listen((_, response) => response.writeHead(302, { location }).end());
    const { open } = attachment(await sealed(megabyte), socketFor(host.name));
    await expect(open()).rejects.toThrow();
    expect(host.requests).toHaveLength(1);
    expect(theirs.connections).toBe(0);
  });
});

describe('a file that the agent sends', () => {
  test('reaches the phone unread by the host, as what it is', async () => {
    const linked = await LinkedConnection.start();
    // Not a real image or sound: a parser would complain.
    const path = join(temporaryFolder(), 'file');
    const bytes = megabyte.subarray(0, 50_000);
    writeFileSync(path, bytes);
    const sent: [name: string, mime: string, kind: string, seen?: object][] = [
      ['a.png', 'image/png', 'image'],
      ['a.jpg', 'image/jpeg', 'image'],
      ['a.mp4', 'video/mp4', 'video'],
      ['a.mp3', 'audio/mpeg', 'audio'],
      ['a.m4a', 'audio/mp4', 'audio'],
      ['a.aac', 'audio/aac', 'audio'],
      ['a.ogg', 'audio/ogg', 'audio', { mime: 'audio/ogg; codecs=opus', isVoice: true }],
      ['a.gif', 'image/gif', 'document', { name: 'a.gif' }],
      ['a.webp', 'image/webp', 'document', { name: 'a.webp' }],
      ['a.pdf', 'application/pdf', 'document', { name: 'a.pdf' }],
      ['a', 'application/octet-stream', 'document', { name: 'a' }],
    ];
    for (const [index, [name, mime, kind, seen]] of sent.entries()) {
      const file = { hostPath: path, name, mime, sizeBytes: bytes.length };
      const content = outgoingContent(file, '', []);
      await linked.connection.send(`${alice.lid}@lid`, content, `ID${index}`);
      const heard = await linked.server.hears(alice.number, { skip: index });
      expect(heard).toMatchObject({ kind, file: { mime, isVoice: false, ...seen } });
      expect(heard.file?.base64 === bytes.toString('base64'), name).toBe(true);
    }
    expect(linked.logLines.join('')).not.toContain('extra info');
  });

  test('keeps its words: as a caption, or sound as a document', () => {
    const contentOf = (mime: string) => {
      const file = { hostPath: '/x/a', name: 'a', mime, sizeBytes: 1 };
      return outgoingContent(file, 'see @49', ['49@lid']);
    };
    for (const mime of ['image/png', 'video/mp4', 'application/pdf', 'audio/ogg', 'audio/mpeg'])
      expect(contentOf(mime)).toMatchObject({ caption: 'see @49', mentions: ['49@lid'] });
    expect(contentOf('audio/ogg')).toHaveProperty('document');
  });

  test('is a document when it is too big to be shown', () => {
    for (const mime of ['image/png', 'video/mp4', 'audio/mpeg']) {
      const file = { hostPath: '/x/a', name: 'a', mime, sizeBytes: 17 * 1024 * 1024 };
      expect(outgoingContent(file, '', [])).toMatchObject({
        document: { url: '/x/a' },
        mimetype: mime,
        fileName: 'a',
      });
    }
  });

  test('is not needed: text goes alone, and no address in it is opened', () => {
    expect(outgoingContent(null, 'https://x.y', [])).toEqual({
      text: 'https://x.y',
      mentions: [],
      linkPreview: null,
    });
  });
});

/** Sends a message with this file and returns the opener of what arrived. */
async function received(linked: LinkedConnection, content: Content): Promise<Opener> {
  const arrived = new Promise<WAMessage>((resolve) => {
    linked.kept = resolve;
  });
  await linked.server.say(alice.number, content);
  const message = await arrived;
  return attachmentOf(message, linked.connection.socket).open;
}

type Opener = () => Promise<Readable>;

function attachmentOf(message: WAMessage, socket: WASocket | null) {
  const incoming = readMessage(message);
  if (incoming.kind !== 'message' || !incoming.media) throw new Error('there is no file in it');
  return mediaAttachment(message, incoming.media, () => socket);
}

interface FilePlace {
  url: string;
  directPath: string;
  mediaKey: Uint8Array | null;
}

function attachment(place: FilePlace, socket: WASocket | null) {
  return attachmentOf(messageWith(place), socket);
}

function messageWith({ url, directPath, mediaKey }: FilePlace): WAMessage {
  const imageMessage = { url, directPath, mediaKey };
  const message = proto.Message.fromObject({ imageMessage });
  return { key: { id: 'M1', remoteJid: '1@lid' }, message };
}

/** Encrypts and authenticates a file as a phone does. */
async function sealed(plain: Buffer): Promise<FilePlace & { bytes: Buffer }> {
  const mediaKey = randomBytes(32);
  const { iv, cipherKey, macKey } = await getMediaKeys(mediaKey, 'image');
  const cipher = createCipheriv('aes-256-cbc', cipherKey, iv);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  const mac = createHmac('sha256', macKey ?? '')
    .update(iv)
    .update(body)
    .digest();
  const bytes = Buffer.concat([body, mac.subarray(0, 10)]);
  return { url: '', directPath: '/v/file', mediaKey, bytes };
}

function flipped(bytes: Buffer, at: number): Buffer {
  const damaged = Buffer.from(bytes);
  damaged.writeUInt8((damaged[at] ?? 0) ^ 1, at);
  return damaged;
}

function nextCut(cut: number, end: number): number {
  return [5, 21, end - 3, end].find((next) => next > cut) ?? end;
}

/** The parts of Baileys that a download needs: the media hosts, and the phone. */
function socketFor(
  hostnames: string | string[],
  updateMediaMessage: (message: WAMessage) => Promise<WAMessage> = async () => {
    throw new Error('nobody was to be asked');
  },
): WASocket {
  const refreshMediaConn = async () => ({
    hosts: [hostnames].flat().map((hostname) => ({ hostname })),
  });
  return { refreshMediaConn, updateMediaMessage } as unknown as WASocket;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const { private: key, cert } = await certificate;
  const requests: [IncomingMessage, ServerResponse][] = [];
  const host = { name: '', connections: 0, requests };
  const server = createServer({ key, cert }, (request, response) => {
    requests.push([request, response]);
    answer(request, response);
  });
  server.on('connection', () => {
    host.connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  host.name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return host;
}
