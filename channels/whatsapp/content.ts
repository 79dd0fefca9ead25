/**
 * What a message of WhatsApp says, in the host's terms. Pure and total: whatever a sender put
 * into it, it never throws, and what it cannot read becomes a short placeholder, never silence.
 */
import {
  getContentType,
  jidNormalizedUser,
  normalizeMessageContent,
  proto,
  type WAMessage,
} from 'baileys';
import mimes from 'mime';
import type { IncomingAttachment } from '../../src/types.ts';

export type Incoming =
  | {
      kind: 'message';
      id: string;
      text: string;
      quote: QuotedMessage | null;
      media: MediaPart | null;
      /** Wakes nobody. */
      isContext: boolean;
    }
  | { kind: 'edit'; id: string; messageId: string; text: string }
  | { kind: 'deletion'; id: string; messageId: string }
  /** Nobody's message. */
  | { kind: 'ignored' };

export interface QuotedMessage {
  messageId: string;
  /** Null: of the chat itself. */
  participantJid: string | null;
  text: string;
}

export interface MediaPart {
  kind: IncomingAttachment['kind'];
  name: string;
  mime: string;
}

export interface Names {
  nameOf(jid: string): string;
}

type Content = proto.IMessage;
type ContextInfo = proto.IContextInfo;

/** A phone sends 65,536 characters at most. */
const textMax = 70_000;
const quoteTextMax = 300;
const nameMax = 120;
const itemsMax = 20;

export function readMessage(message: WAMessage, names: Names): Incoming {
  try {
    return readContent(message, names);
  } catch {
    // A protocol buffer that is of no shape that its definition allows.
    return plain(message.key.id ?? '', '[a message that could not be read]');
  }
}

function readContent(message: WAMessage, names: Names): Incoming {
  const id = message.key.id ?? '';
  const content = normalizeMessageContent(message.message ?? undefined);
  if (!content) return plain(id, '[a message that could not be read]');
  if (content.protocolMessage) return readChange(id, content.protocolMessage, names);
  if (content.reactionMessage) return readReaction(id, content.reactionMessage);
  const context = contextOf(content);
  return {
    kind: 'message',
    id,
    text: nameMentions(textOf(content), context, names),
    quote: quoteOf(context, names),
    media: mediaOf(content, id),
    isContext: Boolean(content.pinInChatMessage ?? content.pollUpdateMessage),
  };
}

function plain(id: string, text: string, more: { isContext?: boolean } = {}) {
  return {
    kind: 'message' as const,
    id,
    text,
    quote: null,
    media: null,
    isContext: false,
    ...more,
  };
}

function readChange(id: string, change: proto.Message.IProtocolMessage, names: Names): Incoming {
  const { REVOKE, MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type;
  const messageId = change.key?.id ?? '';
  if (change.type === REVOKE) return { kind: 'deletion', id, messageId };
  const edited = normalizeMessageContent(change.editedMessage ?? undefined);
  if (change.type !== MESSAGE_EDIT || !edited) return { kind: 'ignored' };
  const text = nameMentions(textOf(edited), contextOf(edited), names);
  return { kind: 'edit', id, messageId, text };
}

function readReaction(id: string, { key, text }: proto.Message.IReactionMessage): Incoming {
  const said = text ? `[reacted ${text.slice(0, 20)}]` : '[took a reaction back]';
  const participantJid = key?.participant ?? key?.remoteJid ?? null;
  const quote = key?.id ? { messageId: key.id, participantJid, text: '' } : null;
  return { ...plain(id, said), quote, isContext: true };
}

/** The text of the message, of whatever kind it is; for media its caption. */
function textOf(content: Content): string {
  const { extendedTextMessage, conversation } = content;
  const text =
    conversation ?? extendedTextMessage?.text ?? captionOf(content) ?? structuredText(content);
  return (text ?? placeholderFor(content)).slice(0, textMax);
}

function captionOf(content: Content): string | undefined {
  const { imageMessage, videoMessage, documentMessage, ptvMessage } = content;
  const captioned = imageMessage ?? videoMessage ?? documentMessage ?? ptvMessage;
  if (captioned) return captioned.caption ?? '';
  if (content.audioMessage) return content.audioMessage.ptt ? '[voice note]' : '';
  return content.stickerMessage ? '[sticker]' : undefined;
}

function structuredText(content: Content): string | undefined {
  const { locationMessage, liveLocationMessage, contactMessage, contactsArrayMessage } = content;
  if (locationMessage) return describePlace(locationMessage);
  if (liveLocationMessage) return `${describePlace(liveLocationMessage)} (live)`;
  if (contactMessage) return describeContact(contactMessage);
  if (contactsArrayMessage)
    return (contactsArrayMessage.contacts ?? []).slice(0, itemsMax).map(describeContact).join('\n');
  return pollText(content) ?? answerText(content);
}

function describePlace(place: {
  degreesLatitude?: number | null;
  degreesLongitude?: number | null;
  name?: string | null;
  address?: string | null;
}): string {
  const at = `${place.degreesLatitude ?? 0},${place.degreesLongitude ?? 0}`;
  const words = [place.name, place.address].filter(Boolean).join(', ');
  return `[location: ${words ? `${words}, ` : ''}${at}]`;
}

/** Name, numbers and addresses of a vCard (RFC 6350). */
function describeContact({ displayName, vcard }: proto.Message.IContactMessage): string {
  const lines = (vcard ?? '').slice(0, textMax).split(/\r?\n/);
  const details = lines.flatMap(
    (line) => /^(?:item\d+\.)?(?:TEL|EMAIL)[^:]*:(.+)/i.exec(line)?.[1] ?? [],
  );
  return `[contact: ${[displayName ?? 'no name', ...details.slice(0, itemsMax)].join(', ')}]`;
}

function pollText(content: Content): string | undefined {
  const poll =
    content.pollCreationMessage ??
    content.pollCreationMessageV2 ??
    content.pollCreationMessageV3 ??
    content.pollCreationMessageV5;
  if (poll) {
    const options = (poll.options ?? [])
      .slice(0, itemsMax)
      .map(({ optionName }) => `- ${optionName}`);
    return [`[poll: ${poll.name ?? ''}]`, ...options].join('\n');
  }
  return content.pollUpdateMessage ? '[voted in a poll]' : undefined;
}

function answerText(content: Content): string | undefined {
  const { eventMessage, groupInviteMessage, pinInChatMessage, albumMessage } = content;
  if (eventMessage) return `[event: ${eventMessage.name ?? ''}] ${eventMessage.description ?? ''}`;
  if (groupInviteMessage) return `[invitation to the group ${groupInviteMessage.groupName ?? ''}]`;
  if (pinInChatMessage) return '[pinned or unpinned a message]';
  if (albumMessage) return '[an album: its pictures follow]';
  return (
    content.buttonsResponseMessage?.selectedDisplayText ??
    content.templateButtonReplyMessage?.selectedDisplayText ??
    content.listResponseMessage?.title ??
    content.interactiveResponseMessage?.body?.text ??
    content.buttonsMessage?.contentText ??
    content.listMessage?.description ??
    content.interactiveMessage?.body?.text ??
    content.templateMessage?.hydratedTemplate?.hydratedContentText ??
    undefined
  );
}

function placeholderFor(content: Content): string {
  const type = getContentType(content)?.replace(/Message(V\d+)?$/, '');
  return `[a message of a kind that I cannot read: ${type ?? 'unknown'}]`;
}

function mediaOf(content: Content, id: string): MediaPart | null {
  const { imageMessage, videoMessage, ptvMessage, audioMessage, documentMessage, stickerMessage } =
    content;
  const part = (kind: MediaPart['kind'], mime: string, name?: string | null): MediaPart => ({
    kind,
    mime: mime.slice(0, nameMax),
    // The end holds the extension.
    name: name?.slice(-nameMax) || `${kind}-${id.slice(-8)}.${mimes.getExtension(mime) ?? 'bin'}`,
  });
  if (imageMessage) return part('image', imageMessage.mimetype || 'image/jpeg');
  if (stickerMessage) return part('image', stickerMessage.mimetype || 'image/webp');
  const video = videoMessage ?? ptvMessage;
  if (video) return part('video', video.mimetype || 'video/mp4');
  if (audioMessage) return part('audio', audioMessage.mimetype || 'audio/ogg');
  if (!documentMessage) return null;
  const { mimetype, fileName, title } = documentMessage;
  return part('document', mimetype || 'application/octet-stream', fileName || title);
}

function contextOf(content: Content): ContextInfo | null {
  const type = getContentType(content);
  const part = type && content[type];
  if (!part || typeof part !== 'object' || !('contextInfo' in part)) return null;
  return part.contextInfo ?? null;
}

function quoteOf(context: ContextInfo | null, names: Names): QuotedMessage | null {
  if (!context?.stanzaId) return null;
  const quoted = normalizeMessageContent(context.quotedMessage ?? undefined);
  const text = quoted ? nameMentions(textOf(quoted), contextOf(quoted), names) : '';
  return {
    messageId: context.stanzaId,
    participantJid: context.participant ?? null,
    text: (text || (quoted ? placeholderOfMedia(quoted) : '')).slice(0, quoteTextMax),
  };
}

function placeholderOfMedia(content: Content): string {
  return `[${mediaOf(content, '')?.kind ?? 'message'}]`;
}

/** WhatsApp writes a mention as `@` and the digits of an address that stands beside the text. */
function nameMentions(text: string, context: ContextInfo | null, names: Names): string {
  let named = text;
  for (const jid of (context?.mentionedJid ?? []).slice(0, itemsMax)) {
    const user = jidNormalizedUser(jid).split('@')[0];
    if (user) named = named.replaceAll(`@${user}`, `@${names.nameOf(jid)}`);
  }
  return named;
}

/** Where a message's file lies and how to read it, as the sender says. */
export function mediaSource({ message }: WAMessage): {
  url: string;
  directPath: string;
  mediaKey: Uint8Array | null;
} {
  const content = normalizeMessageContent(message ?? undefined) ?? {};
  const media =
    content.imageMessage ??
    content.videoMessage ??
    content.ptvMessage ??
    content.audioMessage ??
    content.documentMessage ??
    content.stickerMessage;
  const { url, directPath, mediaKey } = media ?? {};
  return { url: url ?? '', directPath: directPath ?? '', mediaKey: mediaKey ?? null };
}
