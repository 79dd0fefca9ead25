/**
 * Text in and out: the prompts that an agent sees, and the chat texts that its words become. Pure.
 */
import { clip, normalized, printable } from './text.ts';
import type { Group, Mention, Quote, StoredMessage } from './types.ts';

/** Whether `text` calls the assistant: `@Name`, in any case, not inside a word or an address. */
export function mentions(text: string, assistantName: string): boolean {
  return new RegExp(
    `(?<![\\p{L}\\p{N}\\p{M}_@.])@${assistantName.normalize('NFC')}(?![\\p{L}\\p{N}\\p{M}_]|[-.@][\\p{L}\\p{N}])`,
    'iu',
  ).test(normalized(text));
}

interface Interruption {
  reason: string;
  alreadySent: string[];
}

interface PromptContext {
  group: Pick<Group, 'name' | 'isMain'>;
  /** Older context messages that were left out. */
  omitted: number;
  interrupted: Interruption | null;
}

/** The messages, as `messageFormatter` makes them, with the chat that they come from. */
export function formatPrompt(
  messages: string[],
  { group, omitted, interrupted }: PromptContext,
): string {
  const attributes = {
    chat: group.name,
    ...(group.isMain && { main: 'yes' }),
    ...(omitted > 0 && { omitted }),
  };
  const content = ['', ...messages, ''].join('\n');
  const prompt = element('messages', attributes, content);
  return interrupted ? `${interruptionNote(interrupted)}\n${prompt}` : prompt;
}

function interruptionNote({ reason, alreadySent }: Interruption): string {
  if (reason === 'session-lost')
    return '<note>The earlier conversation could not be reopened; this is a new one. CLAUDE.md and conversations/ hold what was kept.</note>';
  return [
    `<note>An earlier attempt to answer these messages was cut short (${reason}). You may have seen them and have acted already: check before you repeat anything.`,
    ...alreadySent.map((text) => element('already-sent', {}, escapeXml(text))),
    '</note>',
  ].join('\n');
}

/**
 * Makes a function that writes messages as XML, with everything in them escaped. A person's message
 * is a `<message>`; one of the clock, an agent or the host is a `<post>`.
 */
export function messageFormatter(): (message: StoredMessage) => string {
  // Once for many: a formatter of times is slow to make.
  const times = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
  return (message) => formatMessage(message, localTime(message.sentAtMs, times));
}

function formatMessage(message: StoredMessage, time: string): string {
  const { id, sender, text, origin, quote, attachments } = message;
  if (sender.kind !== 'person') {
    const from = sender.kind === 'agent' ? `agent ${sender.id}` : sender.kind;
    return element('post', { id, from, time }, escapeXml(text));
  }
  const content = attachments.map(({ kind, groupPath: path, name, mime, sizeBytes: bytes }) =>
    element('attachment', { kind, path, name, mime, bytes }),
  );
  if (quote) content.unshift(formatQuote(quote));
  content.push(...message.mentions.map(formatMention), escapeXml(text));
  const { name, id: account } = sender;
  const forwarded = origin === 'forwarded' && { forwarded: 'yes' };
  return element('message', { id, sender: name, account, time, ...forwarded }, content.join('\n'));
}

function formatQuote({ messageId: id, senderName: sender, text, source }: Quote): string {
  const unverified = source === 'claim' && { unverified: 'yes' };
  return element('quote', { id, sender, ...unverified }, escapeXml(text));
}

function formatMention({ call, name, accountId: account }: Mention): string {
  return element('mention', { call, name, account });
}

/** Escapes the attributes; `content` is XML already. */
function element(name: string, attributes: Record<string, string | number>, content = ''): string {
  const written = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${escapeXml(String(value))}"`,
  );
  return `<${name}${written.join('')}>${content}</${name}>`;
}

/** Safe inside an element or a quoted attribute; control characters become U+FFFD. */
export function escapeXml(text: string): string {
  return printable(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** `2026-03-01 09:05 +01:00 Europe/Paris`: the offset lets an agent compute "in ten minutes". */
function localTime(atMs: number, times: Intl.DateTimeFormat): string {
  const eastMinutes = -new Date(atMs).getTimezoneOffset();
  const twoDigits = (count: number) => String(Math.floor(count)).padStart(2, '0');
  const distance = Math.abs(eastMinutes);
  const offset = `${eastMinutes < 0 ? '-' : '+'}${twoDigits(distance / 60)}:${twoDigits(distance % 60)}`;
  return `${times.format(atMs)} ${offset} ${times.resolvedOptions().timeZone}`;
}

/** Removes `<internal>` parts, also one that is not closed. */
export function stripInternal(text: string): string {
  return text.replace(/<internal>[\s\S]*?(<\/internal>|$)/gi, '').trim();
}

/**
 * Pieces of at most `max` UTF-16 units, cut at the ends of paragraphs, lines or words where
 * there are any, and never inside a character.
 */
export function splitText(text: string, max: number): string[] {
  const pieces: string[] = [];
  for (let rest = text.trim(); rest; ) {
    const end = rest.length > max ? splitPoint(rest, max) : rest.length;
    pieces.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end).trimStart();
  }
  return pieces;
}

function splitPoint(text: string, max: number): number {
  for (const separator of ['\n\n', '\n', ' ']) {
    const at = text.lastIndexOf(separator, max);
    // A very short piece is worse than a cut at the next smaller separator.
    if (at >= max / 4) return at;
  }
  return clip(text, max, '').length;
}
