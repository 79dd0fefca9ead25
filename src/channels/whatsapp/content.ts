/**
 * Reads a WhatsApp message into the host's terms. Pure: never throws, whatever a sender put into the
 * message. What it cannot read becomes a placeholder, so that no message is lost in silence.
 */
import {
  getContentType,
  isLidUser,
  isPnUser,
  jidNormalizedUser,
  proto,
  type WAMessage,
} from 'baileys';
import mimes from 'mime';
import { clip, tail } from '../../text.ts';
import type { IncomingAttachment, Origin } from '../../types.ts';
import { description } from './description.ts';

/** What somebody wrote: nothing in it is a name that others have chosen. */
export interface Said {
  text: string;
  origin: Origin;
  /** The addresses that the text mentions. */
  mentions: MentionedJid[];
}

export interface MentionedJid {
  /** As it stands in the text: `@` and digits. */
  call: string;
  jid: string;
}

export type Incoming =
  | {
      kind: 'message';
      id: string;
      said: Said;
      quote: QuotedMessage | null;
      media: MediaPart | null;
      reaction?: { messageId: string; emoji: string };
      /** Context for the agent; does not wake it. */
      isContext: boolean;
    }
  | { kind: 'edit'; id: string; messageId: string; said: Said }
  | { kind: 'deletion'; id: string; messageId: string }
  /** Not from a person. */
  | { kind: 'ignored' };

export interface QuotedMessage {
  messageId: string;
  /** The author; null if the message names none, as in a direct chat. */
  participantJid: string | null;
  text: string;
}

export interface MediaPart {
  kind: IncomingAttachment['kind'];
  name: string;
  mime: string;
}

type Content = proto.IMessage;
type ContextInfo = proto.IContextInfo;

/** A phone sends at most 65,536 characters. */
const textMax = 70_000;
const nameMax = 120;
const itemsMax = 100;
const wrappersMax = 10;
const mentionsMax = 20;
const jidMax = 60;

/** Actions that come as messages. They do not wake the agent. */
const actions: { [Type in keyof Content]?: string } = {
  // Each picture comes as a message of its own.
  albumMessage: '[an album: its pictures follow]',
  encEventResponseMessage: '[answered an invitation to an event]',
  encReactionMessage: '[reacted]',
  keepInChatMessage: '[kept a disappearing message, or stopped keeping it]',
  pinInChatMessage: '[pinned or unpinned a message]',
  pollUpdateMessage: '[voted in a poll]',
  secretEncryptedMessage: '[changed a message in a way that only the phone shows]',
};

/**
 * The fields that hold a file, with its kind for the host and the type to assume if none is given.
 */
const fileFields = [
  ['imageMessage', 'image', 'image/jpeg'],
  ['stickerMessage', 'image', 'image/webp'],
  ['videoMessage', 'video', 'video/mp4'],
  ['ptvMessage', 'video', 'video/mp4'],
  ['audioMessage', 'audio', 'audio/ogg'],
  ['documentMessage', 'document', 'application/octet-stream'],
] as const;

/** `message` must have been decoded from its bytes. */
export function readMessage(message: WAMessage): Incoming {
  const id = message.key.id ?? '';
  const content = unwrap(message.message);
  if (!content) return plain(id, '[a message that could not be read]');
  if (content.protocolMessage) return readChange(id, content.protocolMessage);
  if (content.reactionMessage) return readReaction(id, content.reactionMessage);
  return {
    kind: 'message',
    id,
    said: saidIn(content),
    quote: quoteOf(contextOf(content)),
    media: mediaOf(content, id),
    isContext: actionOf(content) !== undefined,
  };
}

/** Removes the wrappers of disappearing and view-once messages, captioned documents and albums. */
function unwrap(message: Content | null | undefined): Content | null | undefined {
  let content = message;
  for (let depth = 0; depth < wrappersMax; depth += 1) {
    const part = partOf(content);
    if (!part || !('message' in part) || typeof part.message === 'string') break;
    content = part.message;
  }
  return content;
}

/** The field that holds the content. Its name is the kind of the message. */
function partOf(content: Content | null | undefined) {
  const type = getContentType(content ?? undefined);
  const part = type && content?.[type];
  return part && typeof part === 'object' ? part : null;
}

function actionOf(content: Content): string | undefined {
  const type = getContentType(content);
  return type && actions[type];
}

function plain(id: string, text: string) {
  const said: Said = { text, origin: 'described', mentions: [] };
  return { kind: 'message' as const, id, said, quote: null, media: null, isContext: false };
}

function readChange(id: string, change: proto.Message.IProtocolMessage): Incoming {
  const { REVOKE, MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type;
  const messageId = change.key?.id ?? '';
  if (change.type === REVOKE) return { kind: 'deletion', id, messageId };
  const edited = unwrap(change.editedMessage);
  if (change.type !== MESSAGE_EDIT || !edited) return { kind: 'ignored' };
  return { kind: 'edit', id, messageId, said: saidIn(edited) };
}

function readReaction(id: string, { key, text }: proto.Message.IReactionMessage): Incoming {
  const emoji = clip(text ?? '', 20);
  const messageId = key?.id;
  const quote = messageId ? { messageId, participantJid: key.participant ?? null, text: '' } : null;
  return {
    ...plain(id, emoji ? `[reacted ${emoji}]` : '[took a reaction back]'),
    quote,
    isContext: true,
    ...(messageId && emoji && { reaction: { messageId, emoji } }),
  };
}

function saidIn(content: Content): Said {
  const text = textOf(content);
  const context = contextOf(content);
  const isForwarded = context?.isForwarded || (context?.forwardingScore ?? 0) > 0;
  return {
    text,
    origin: isForwarded ? 'forwarded' : originOf(content),
    mentions: mentionsIn(text, context?.mentionedJid ?? []),
  };
}

function originOf(content: Content): Origin {
  const { conversation, extendedTextMessage } = content;
  if (conversation || extendedTextMessage?.text) return 'typed';
  return fileOf(content) ? 'caption' : 'described';
}

/** The text of a message of any kind; the caption of a file. */
function textOf(content: Content): string {
  const { extendedTextMessage, conversation } = content;
  const text =
    conversation ||
    extendedTextMessage?.text ||
    captionOf(content) ||
    actionOf(content) ||
    description(content, textMax);
  if (!text) return mediaOf(content, '') ? '' : placeholderFor(content);
  return clip(text, textMax);
}

function captionOf(content: Content): string | undefined {
  const { imageMessage, videoMessage, documentMessage, ptvMessage } = content;
  const captioned = imageMessage ?? videoMessage ?? documentMessage ?? ptvMessage;
  if (captioned) return captioned.caption ?? '';
  if (content.audioMessage) return content.audioMessage.ptt ? '[voice note]' : '';
  return content.stickerMessage ? '[sticker]' : undefined;
}

function placeholderFor(content: Content): string {
  const type = getContentType(content)?.replace(/Message(V\d+)?$/, '');
  return `[a message of a kind that I cannot read: ${type ?? 'unknown'}]`;
}

function mediaOf(content: Content, id: string): MediaPart | null {
  const found = fileOf(content);
  if (!found) return null;
  const { kind, mime } = found;
  const { fileName, title } = (kind === 'document' && content.documentMessage) || {};
  const given = tail(fileName || title || '', nameMax);
  const name = given || `${kind}-${id.slice(-8)}.${mimes.getExtension(mime) ?? 'bin'}`;
  return { kind, name, mime: clip(mime, nameMax) };
}

function fileOf(content: Content) {
  for (const [field, kind, usualMime] of fileFields) {
    const file = content[field];
    if (file) return { file, kind, mime: file.mimetype || usualMime };
  }
  return null;
}

function contextOf(content: Content): ContextInfo | null {
  const part = partOf(content);
  return part && 'contextInfo' in part ? (part.contextInfo ?? null) : null;
}

function quoteOf(context: ContextInfo | null): QuotedMessage | null {
  if (!context?.stanzaId) return null;
  const quoted = unwrap(context.quotedMessage);
  const text = quoted ? textOf(quoted) || `[${mediaOf(quoted, '')?.kind}]` : '';
  return { messageId: context.stanzaId, participantJid: context.participant ?? null, text };
}

/**
 * WhatsApp writes a mention as `@` and the digits of an address that the message lists beside its
 * text. The list is the sender's own.
 */
function mentionsIn(text: string, jids: string[]): MentionedJid[] {
  const calls = new Set(text.match(/@\d+/g));
  const found = new Map<string, string>();
  for (const given of jids.slice(0, itemsMax)) {
    const jid = jidNormalizedUser(clip(given, jidMax));
    const call = `@${jid.split('@')[0]}`;
    if (calls.has(call) && (isLidUser(jid) || isPnUser(jid))) found.set(call, jid);
  }
  return [...found].slice(0, mentionsMax).map(([call, jid]) => ({ call, jid }));
}

/** Where to download a message's file and how to decrypt it, as the sender claims. */
export function mediaSource({ message }: WAMessage): {
  url: string;
  directPath: string;
  mediaKey: Uint8Array | null;
} {
  const { url, directPath, mediaKey } = fileOf(unwrap(message) ?? {})?.file ?? {};
  return { url: url ?? '', directPath: directPath ?? '', mediaKey: mediaKey ?? null };
}
