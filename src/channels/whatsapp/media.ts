/**
 * Files from and to WhatsApp. Downloads come from WhatsApp's hosts only, are decrypted as they
 * stream, and fail at their end unless they are authentic. Uploads are never parsed here: an agent
 * made them.
 */
import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnyMessageContent, getMediaKeys, type WAMessage, type WASocket } from 'baileys';
import { type IncomingAttachment, type OutboundFile, UserError } from '../../types.ts';
import { type MediaPart, mediaSource } from './content.ts';

/** Returns null without a connection. */
export type FindSocket = () => WASocket | null;

/** Limit for the download of one file. */
const downloadMs = 3 * 60_000;
/** Limit for the sender's phone to upload a file again. */
const uploadAgainMs = 30_000;
/** Bytes at the end of every file that prove it authentic. */
const macLength = 10;
const whatsAppHosts = '.whatsapp.net';
/** WhatsApp accepts larger files only as documents. */
const shownBytesMax = 16 * 1024 * 1024;

export function mediaAttachment(
  message: WAMessage,
  part: MediaPart,
  findSocket: FindSocket,
): IncomingAttachment {
  return { ...part, open: () => openMedia(message, part, findSocket) };
}

/**
 * WhatsApp deletes a file after some weeks; the sender's phone uploads it again on request. Baileys
 * 7.0.0-rc14 has that request and never sends it: it reads the status from the wrong field. Remove
 * this, and the download here, when Baileys sends it, checks the hosts and survives a broken
 * stream.
 */
async function openMedia(
  message: WAMessage,
  part: MediaPart,
  findSocket: FindSocket,
): Promise<Readable> {
  const socket = findSocket();
  if (!socket) throw new UserError('WhatsApp is not connected');
  let response = await fetchMedia(message, socket);
  if (response.status === 404 || response.status === 410)
    response = await fetchMedia(await askAgain(message, socket), socket);
  const { body, status } = response;
  if (!response.ok || !body) throw new UserError(`WhatsApp does not have it (${status})`);
  const { mediaKey } = mediaSource(message);
  const keys = await getMediaKeys(mediaKey, part.kind);
  if (!keys.macKey) throw new UserError('it has no key');
  return Readable.from(decrypt(body, { ...keys, macKey: keys.macKey }));
}

/**
 * The sender names host and path. Contacts only WhatsApp's hosts, since this machine can reach
 * private ones too.
 */
async function fetchMedia(message: WAMessage, socket: WASocket): Promise<Response> {
  const { url, directPath } = mediaSource(message);
  const { hosts } = await socket.refreshMediaConn();
  const named = URL.canParse(url) ? new URL(url).host : '';
  const isTheirs =
    named.endsWith(whatsAppHosts) || hosts.some(({ hostname }) => hostname === named);
  const base = `https://${isTheirs ? named : (hosts[0]?.hostname ?? `mmg${whatsAppHosts}`)}`;
  if (!directPath.startsWith('/') || !URL.canParse(directPath, base))
    throw new UserError('it has no address');
  const address = new URL(directPath, base);
  if (address.origin !== new URL(base).origin) throw new UserError('its address is not WhatsApp’s');
  const signal = AbortSignal.timeout(downloadMs);
  return fetch(address, {
    signal,
    redirect: 'error',
    headers: { origin: 'https://web.whatsapp.com' },
  });
}

async function askAgain(message: WAMessage, socket: WASocket): Promise<WAMessage> {
  const late = sleep(uploadAgainMs, undefined, { ref: false });
  const again = await Promise.race([socket.updateMediaMessage(message), late]);
  if (!again) throw new UserError('it has expired, and the phone did not upload it again');
  return again;
}

interface Keys {
  iv: Uint8Array;
  cipherKey: Uint8Array;
  macKey: Uint8Array;
}

/**
 * Decrypts AES-256-CBC, which is followed by the first bytes of an HMAC over IV and ciphertext.
 * Throws UserError at the end of the stream if the HMAC is wrong.
 */
async function* decrypt(body: AsyncIterable<Uint8Array>, { iv, cipherKey, macKey }: Keys) {
  const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
  const mac = createHmac('sha256', macKey).update(iv);
  let rest = Buffer.alloc(0);
  for await (const chunk of body) {
    const bytes = Buffer.concat([rest, chunk]);
    const end = Math.max(0, bytes.length - macLength);
    rest = bytes.subarray(end);
    mac.update(bytes.subarray(0, end));
    yield decipher.update(bytes.subarray(0, end));
  }
  const expected = mac.digest().subarray(0, macLength);
  if (rest.length !== macLength || !timingSafeEqual(expected, rest))
    throw new UserError('it arrived damaged');
  yield decipher.final();
}

/**
 * The content for Baileys to send. Without a thumbnail, a duration and a waveform, Baileys would
 * make them: parse the agent's file on the host with sharp or music-metadata, or start ffmpeg.
 */
export function outgoingContent(
  file: OutboundFile | null,
  text: string,
  mentions: string[],
): AnyMessageContent {
  // Null: no preview, for which the host would have to open the address.
  if (!file) return { text, mentions, linkPreview: null };
  const media = { url: file.hostPath };
  const caption = text ? { caption: text, mentions } : {};
  const unparsed = { jpegThumbnail: '' };
  switch (file.sizeBytes > shownBytesMax ? '' : file.mime) {
    case 'image/jpeg':
    case 'image/png':
      return { image: media, mimetype: file.mime, ...unparsed, ...caption };
    case 'video/mp4':
      return { video: media, mimetype: file.mime, ...unparsed, ...caption };
    case 'audio/ogg':
    case 'audio/mpeg':
    case 'audio/mp4':
    case 'audio/aac':
      // Audio cannot have a caption, a document can.
      if (!text) return voiceOrAudio(media, file.mime);
  }
  return { document: media, mimetype: file.mime, fileName: file.name, ...caption };
}

function voiceOrAudio(audio: { url: string }, mime: string): AnyMessageContent {
  const unparsed = { seconds: 0, waveform: new Uint8Array() };
  if (mime !== 'audio/ogg') return { audio, mimetype: mime, ...unparsed };
  return { audio, mimetype: 'audio/ogg; codecs=opus', ptt: true, ...unparsed };
}
