/**
 * Turns contents of the control port into protocol buffers, and received messages back into
 * contents.
 */
import { createDecipheriv } from 'node:crypto';
import {
  getContentType,
  getMediaKeys,
  type MediaType,
  normalizeMessageContent,
  proto,
} from 'baileys';
import { z } from 'zod';
import type { MediaHost } from './media-host.ts';

const base64 = z.base64().max(64 * 1024 * 1024);
const quote = z.strictObject({
  messageId: z.string(),
  participant: z.string(),
  text: z.string(),
});

export const contentSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('text'),
    text: z.string(),
    quote: quote.optional(),
    /** Addresses. The text names each as `@` followed by its digits. */
    mentions: z.array(z.string()).optional(),
    isForwarded: z.boolean().optional(),
  }),
  z.strictObject({
    kind: z.enum(['image', 'video', 'audio', 'voice', 'document', 'sticker']),
    base64,
    mime: z.string().optional(),
    caption: z.string().optional(),
    name: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal('location'),
    latitude: z.number(),
    longitude: z.number(),
    name: z.string().optional(),
  }),
  z.strictObject({ kind: z.literal('contact'), name: z.string(), number: z.string() }),
  z.strictObject({ kind: z.literal('poll'), question: z.string(), options: z.array(z.string()) }),
  /** An empty `messageId` names no message; an empty `emoji` takes the reaction back. */
  z.strictObject({
    kind: z.literal('reaction'),
    messageId: z.string(),
    emoji: z.string(),
    ofBot: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('edit'), messageId: z.string(), text: z.string() }),
  z.strictObject({ kind: z.literal('deletion'), messageId: z.string() }),
  /** A kind of message that the product does not know. */
  z.strictObject({ kind: z.literal('unknown') }),
]);
export type Content = z.infer<typeof contentSchema>;
export type MediaContent = Extract<Content, { base64: string }>;

/** A file on the media host as a message describes it. */
export type UploadedFile = Pick<
  proto.Message.IImageMessage,
  'url' | 'directPath' | 'mediaKey' | 'fileSha256' | 'fileEncSha256' | 'fileLength'
>;

export function isMedia(content: Content): content is MediaContent {
  return 'base64' in content;
}

export function mediaMessage(content: MediaContent, file: UploadedFile): proto.IMessage {
  const { kind, caption, name, mime } = content;
  const captioned = caption === undefined ? {} : { caption };
  switch (kind) {
    case 'image':
      return { imageMessage: { ...file, mimetype: mime ?? 'image/jpeg', ...captioned } };
    case 'video':
      return { videoMessage: { ...file, mimetype: mime ?? 'video/mp4', ...captioned } };
    case 'sticker':
      return { stickerMessage: { ...file, mimetype: mime ?? 'image/webp' } };
    case 'audio':
      return { audioMessage: { ...file, mimetype: mime ?? 'audio/mpeg' } };
    case 'voice':
      return { audioMessage: { ...file, mimetype: 'audio/ogg; codecs=opus', ptt: true } };
    case 'document':
      return {
        documentMessage: {
          ...file,
          mimetype: mime ?? 'application/pdf',
          fileName: name ?? 'file',
          ...captioned,
        },
      };
  }
}

/** `chat` is the address of the chat, for messages about messages. */
export function plainMessage(
  content: Exclude<Content, MediaContent>,
  chat: string,
): proto.IMessage {
  const { REVOKE, MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type;
  const keyOf = (id: string) => ({ remoteJid: chat, fromMe: true, id });
  switch (content.kind) {
    case 'text':
      return textMessage(content);
    case 'location':
      return {
        locationMessage: {
          degreesLatitude: content.latitude,
          degreesLongitude: content.longitude,
          ...(content.name !== undefined && { name: content.name }),
        },
      };
    case 'contact': {
      const card = ['BEGIN:VCARD', 'VERSION:3.0', `FN:${content.name}`, `TEL:${content.number}`];
      const vcard = [...card, 'END:VCARD'].join('\n');
      return { contactMessage: { displayName: content.name, vcard } };
    }
    case 'poll':
      return {
        pollCreationMessageV3: {
          name: content.question,
          options: content.options.map((optionName) => ({ optionName })),
          selectableOptionsCount: 1,
        },
      };
    case 'reaction':
      return {
        reactionMessage: {
          key: { ...keyOf(content.messageId), fromMe: !content.ofBot },
          text: content.emoji,
          senderTimestampMs: Date.now(),
        },
      };
    case 'edit':
      return {
        protocolMessage: {
          key: keyOf(content.messageId),
          type: MESSAGE_EDIT,
          editedMessage: { conversation: content.text },
          timestampMs: Date.now(),
        },
      };
    case 'deletion':
      return { protocolMessage: { key: keyOf(content.messageId), type: REVOKE } };
    case 'unknown':
      return { callLogMesssage: { isVideo: false } };
  }
}

function textMessage({
  text,
  quote,
  mentions,
  isForwarded,
}: Extract<Content, { kind: 'text' }>): proto.IMessage {
  if (!quote && !mentions && !isForwarded) return { conversation: text };
  return {
    extendedTextMessage: {
      text,
      contextInfo: {
        ...(mentions && { mentionedJid: mentions }),
        ...(isForwarded && { isForwarded, forwardingScore: 1 }),
        ...(quote && {
          stanzaId: quote.messageId,
          participant: quote.participant,
          quotedMessage: { conversation: quote.text },
        }),
      },
    },
  };
}

/** The stanza's `type`. */
export function stanzaType(message: proto.IMessage): string {
  if (message.reactionMessage) return 'reaction';
  if (message.pollCreationMessageV3) return 'poll';
  const inner = normalizeMessageContent(message) ?? {};
  const isFile = ['image', 'video', 'audio', 'document', 'sticker'].some(
    (kind) => `${kind}Message` in inner && inner[`${kind}Message` as keyof proto.IMessage],
  );
  return isFile ? 'media' : 'text';
}

/** A message from the client as one of the people sees it. */
export interface Heard {
  kind: string;
  text: string;
  quotedId: string | null;
  mentions: string[];
  file: { mime: string; name: string | null; isVoice: boolean; base64: string } | null;
  reaction: { messageId: string; emoji: string } | null;
  /** The id of the message that an edit or deletion changes. */
  changes: string | null;
}

export async function hear(message: proto.IMessage, media: MediaHost): Promise<Heard> {
  const content = normalizeMessageContent(message) ?? {};
  if (content.protocolMessage) return hearChange(content.protocolMessage);
  const type = getContentType(content);
  const part = type === undefined ? undefined : content[type];
  const context =
    part && typeof part === 'object' && 'contextInfo' in part ? part.contextInfo : null;
  const file =
    content.imageMessage ??
    content.videoMessage ??
    content.audioMessage ??
    content.documentMessage ??
    content.stickerMessage;
  const kind = type?.replace(/Message$/, '') ?? 'nothing';
  const { reactionMessage } = content;
  return {
    kind,
    text:
      content.conversation ??
      content.extendedTextMessage?.text ??
      (file && 'caption' in file ? (file.caption ?? '') : ''),
    quotedId: context?.stanzaId ?? null,
    mentions: context?.mentionedJid ?? [],
    file: file
      ? {
          mime: file.mimetype ?? '',
          name: content.documentMessage?.fileName ?? null,
          isVoice: content.audioMessage?.ptt === true,
          base64: (await decrypt(file, kind as MediaType, media)).toString('base64'),
        }
      : null,
    reaction: reactionMessage
      ? { messageId: reactionMessage.key?.id ?? '', emoji: reactionMessage.text ?? '' }
      : null,
    changes: null,
  };
}

function hearChange({ type, key, editedMessage }: proto.Message.IProtocolMessage): Heard {
  const isEdit = type === proto.Message.ProtocolMessage.Type.MESSAGE_EDIT;
  const isDeletion = type === proto.Message.ProtocolMessage.Type.REVOKE;
  return {
    kind: isEdit ? 'edit' : isDeletion ? 'deletion' : 'protocol',
    text: editedMessage?.conversation ?? editedMessage?.extendedTextMessage?.text ?? '',
    changes: key?.id ?? null,
    quotedId: null,
    mentions: [],
    file: null,
    reaction: null,
  };
}

async function decrypt(file: UploadedFile, type: MediaType, media: MediaHost): Promise<Buffer> {
  const sealed = media.get(file.directPath ?? '');
  if (!sealed) throw new Error('a message names a file that nobody uploaded');
  const { cipherKey, iv } = await getMediaKeys(file.mediaKey, type);
  const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
  return Buffer.concat([decipher.update(sealed.subarray(0, -10)), decipher.final()]);
}
