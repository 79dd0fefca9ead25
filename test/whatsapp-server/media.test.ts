import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Content } from './contents.ts';
import { alice, family, PlainClient } from './plain-client.ts';

const aliceLid = `${alice.lid}@lid`;
const bytes = randomBytes(200_000);
const base64 = bytes.toString('base64');
const image = { kind: 'image', base64, caption: 'look' } as const;
/** The smallest image of which Baileys can make a preview. */
const pixel = readFileSync(join(import.meta.dirname, '../fixtures/pixel.png'));

test('every kind of file arrives byte for byte', async () => {
  const client = await PlainClient.start();
  const contents: [Content, unknown][] = [
    [image, { imageMessage: { caption: 'look' } }],
    [{ kind: 'video', base64 }, { videoMessage: { mimetype: 'video/mp4' } }],
    [{ kind: 'audio', base64 }, { audioMessage: { mimetype: 'audio/mpeg' } }],
    [{ kind: 'voice', base64 }, { audioMessage: { ptt: true } }],
    [{ kind: 'sticker', base64 }, { stickerMessage: { mimetype: 'image/webp' } }],
    [{ kind: 'document', base64, name: 'plan.pdf' }, { documentMessage: { fileName: 'plan.pdf' } }],
  ];
  for (const [content, shape] of contents) {
    const message = await client.message(await client.server.say(alice.number, content));
    expect(message.message).toMatchObject(shape as object);
    expect(bytes.equals(await client.download(message))).toBe(true);
  }
});

test('recipients can open files from the client, also in a group', async () => {
  const client = await PlainClient.start();
  await client.say(aliceLid, { image: pixel, caption: 'small' });
  const small = await client.server.hears(alice.number, { kind: 'image' });
  expect(small).toMatchObject({ text: 'small', file: { base64: pixel.toString('base64') } });
  const document = { document: bytes, mimetype: 'text/plain', fileName: 'r.txt' };
  await client.say(family, document);
  const { file } = await client.server.hears(alice.number, { kind: 'document', group: family });
  expect(file).toMatchObject({ name: 'r.txt', mime: 'text/plain', base64 });
  await client.say(aliceLid, { audio: bytes, ptt: true, mimetype: 'audio/ogg; codecs=opus' });
  const voice = await client.server.hears(alice.number, { kind: 'audio' });
  expect(voice.file).toMatchObject({ isVoice: true, base64 });
});

test('a file that has expired is gone until the phone has uploaded it again', async () => {
  const client = await PlainClient.start();
  const messageId = await client.server.say(alice.number, image);
  const message = await client.message(messageId);
  await client.server.do('expireMedia', { messageId });
  await expect(client.download(message)).rejects.toThrow();
  await client.socket.refreshMediaConn(); // The phone's answer does not name the host.
  const renewed = await client.socket.updateMediaMessage(message);
  expect(bytes.equals(await client.download(renewed))).toBe(true);
});

test('a phone that has deleted the file reports that', async () => {
  const client = await PlainClient.start();
  const messageId = await client.server.say(alice.number, image);
  const message = await client.message(messageId);
  await client.server.do('expireMedia', { messageId });
  await client.server.faults({ phoneDeletedMedia: true });
  await expect(client.socket.updateMediaMessage(message)).rejects.toThrow(/NOT_FOUND/);
});

test('the media host fails once for each fault that is set', async () => {
  const client = await PlainClient.start();
  const message = await client.message(await client.server.say(alice.number, image));
  await client.server.faults({ mediaAnswers: [503, 404, 'truncate'] });
  expect(await client.fetchFile(message)).toEqual({ status: 503, length: 0 });
  expect(await client.fetchFile(message)).toEqual({ status: 404, length: 0 });
  await expect(client.fetchFile(message)).rejects.toThrow('aborted');
  expect(bytes.equals(await client.download(message))).toBe(true);
});

test('the media host can stall in the middle of a download and does not continue', async () => {
  const client = await PlainClient.start();
  const message = await client.message(await client.server.say(alice.number, image));
  await client.server.faults({ mediaAnswers: ['stall'] });
  const outcome = client.fetchFile(message).catch((error: Error) => error.message);
  await client.server.waitState({ minStalledFiles: 1 });
  await client.server.close();
  expect(await outcome).toBe('aborted');
});
