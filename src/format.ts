/**
 * Text in and out: the prompt that an agent sees, and the chat texts that its words become.
 * Pure functions; decides nothing about who is answered.
 */
import type { Agent, StoredMessage } from './types.ts';

/** Whether `text` calls the assistant: `@Name`, in any case, not inside a word or an address. */
export function mentions(text: string, assistantName: string): boolean {
  const name = assistantName.normalize('NFC').replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(
    `(?<![\\p{L}\\p{N}\\p{M}_@.])@${name}(?![\\p{L}\\p{N}\\p{M}_]|[-.@][\\p{L}\\p{N}])`,
    'iu',
  ).test(text.normalize('NFC'));
}

/** How an earlier attempt of the turn was cut short. */
export interface Interruption {
  reason: string;
  alreadySent: string[];
}

const alreadySentMax = 20;
const alreadySentTextMax = 2000;

/**
 * The prompt: messages as XML, oldest first, everything escaped. Times are local, with zone.
 * `omitted` counts older context messages that were left out.
 */
export function formatPrompt(
  messages: StoredMessage[],
  notes: { omitted: number; interrupted: Interruption | '' | null },
): string {
  const lines = notes.interrupted ? interruptionNote(notes.interrupted) : [];
  lines.push(notes.omitted > 0 ? `<messages omitted="${notes.omitted}">` : '<messages>');
  lines.push(...messages.map(formatMessage), '</messages>');
  return lines.join('\n');
}

function interruptionNote({ reason, alreadySent }: Interruption): string[] {
  if (reason === 'session-lost')
    return [
      '<note>The earlier conversation could not be reopened; this is a new one. CLAUDE.md and conversations/ hold what was kept.</note>',
    ];
  return [
    `<note>An earlier attempt to answer these messages was cut short (${reason}). You may have seen them and have acted already: check before you repeat anything.`,
    ...alreadySent
      .slice(-alreadySentMax)
      .map(
        (text) => `<already-sent>${escapeXml(text.slice(0, alreadySentTextMax))}</already-sent>`,
      ),
    '</note>',
  ];
}

/** What the system prompt says about this agent beside the memory files. */
export function instructionsFor(agent: Agent, assistantName: string): string {
  const { group } = agent;
  const where = group.isMain
    ? "the owner's main chat: they set you up there and may ask for anything"
    : `the group chat "${escapeXml(group.name)}": several people may write`;
  return `You are ${assistantName}, a personal assistant in ${where}. Messages come as XML; your final text is sent to the chat.`;
}

function formatMessage(message: StoredMessage): string {
  const attributes = [
    `id="${escapeXml(message.id)}"`,
    `sender="${escapeXml(message.senderName)}"`,
    `time="${localTime(message.sentAtMs)}"`,
  ];
  const parts: string[] = [];
  if (message.quote)
    parts.push(
      `<quote id="${escapeXml(message.quote.messageId)}" sender="${escapeXml(message.quote.senderName)}">${escapeXml(message.quote.text)}</quote>`,
    );
  for (const file of message.attachments)
    parts.push(
      `<attachment kind="${file.kind}" path="${escapeXml(file.path)}" name="${escapeXml(file.name)}" mime="${escapeXml(file.mime)}" bytes="${file.sizeBytes}"/>`,
    );
  parts.push(escapeXml(message.text));
  return `<message ${attributes.join(' ')}>${parts.join('\n')}</message>`;
}

/** Makes text safe inside an element or a quoted attribute; control characters become U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/[^\P{Cc}\n\t]/gu, '\uFFFD');
}

/** `2026-03-01 09:05 Europe/Paris`. */
export function localTime(atMs: number): string {
  const date = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
  return `${date.format(atMs)} ${date.resolvedOptions().timeZone}`;
}

/** Removes `<internal>` parts, also one that was never closed. */
export function stripInternal(text: string): string {
  return text.replace(/<internal>[\s\S]*?(<\/internal>|$)/gi, '').trim();
}

/**
 * Splits text into pieces of at most `max` UTF-16 units, at the ends of paragraphs, lines
 * or words where there are any, and never inside a character.
 */
export function splitText(text: string, max: number): string[] {
  const pieces: string[] = [];
  let rest = text.trim();
  while (rest.length > max) {
    const end = splitPoint(rest, max);
    pieces.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end).trimStart();
  }
  if (rest) pieces.push(rest);
  return pieces;
}

function splitPoint(text: string, max: number): number {
  for (const separator of ['\n\n', '\n', ' ']) {
    const at = text.lastIndexOf(separator, max);
    // A piece of less than a quarter is a worse cut than one at the next smaller separator.
    if (at >= max / 4) return at;
  }
  const code = text.charCodeAt(max - 1);
  const isHighSurrogate = code >= 0xd800 && code <= 0xdbff;
  return isHighSurrogate ? max - 1 : max;
}
