/**
 * Clips and cleans text that others wrote, for prompts, logs, terminals and file names. Lengths are
 * in UTF-16 units; no function cuts a character in two. Imports nothing of ours.
 */
import { createHash } from 'node:crypto';

const replacement = '\uFFFD';

/** The first `max` units, the last of them being `mark` if anything was cut off. */
export function clip(text: string, max: number, mark = '…'): string {
  if (text.length <= max) return text;
  return text.slice(0, max - mark.length).replace(/[\uD800-\uDBFF]$/, '') + mark;
}

/**
 * In Unicode's form NFC. Drops marks beyond the thirtieth on one letter, because sorting them takes
 * quadratic time: https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format
 */
export function normalized(text: string): string {
  return text.replace(/(\p{M}{30})\p{M}+/gu, '$1').normalize('NFC');
}

const valuesMax = 20_000;

/** Parses JSON that others wrote. Throws SyntaxError also where it would become too many values. */
export function parseJson(text: string): unknown {
  let values = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (character === '"') isInString = !isInString;
    else if (isInString && character === '\\') index += 1;
    else if (!isInString && (character === ',' || character === '[' || character === '{'))
      values += 1;
  }
  if (values > valuesMax) throw new SyntaxError(`more than ${valuesMax} values`);
  return JSON.parse(text);
}

/** The last `max` units, without a mark: the end of a file name says what kind of file it is. */
export function tail(text: string, max: number): string {
  return text.length <= max ? text : text.slice(-max).replace(/^[\uDC00-\uDFFF]/, '');
}

/** U+FFFD for each lone surrogate and each control character other than newline and tab. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|\p{Cs}/gu, replacement);
}

/**
 * A name or a fact as one line of at most `max` units. Removes control characters and those that
 * are invisible or change the direction of the text, so that a name cannot pass for something else.
 */
export function oneLine(text: string, max: number): string {
  const visible = text.replace(/[^\P{C}\s]|\p{Default_Ignorable_Code_Point}|\u2800/gu, '');
  return clip(visible.replace(/\s+/g, ' ').trim(), max);
}

const nameMax = 60;

/**
 * A name that people chose, as the store keeps it: one line of at most `max` units, in plain
 * letters, without what could call, command, quote or mark up, and without what is invisible. May be
 * empty. `keep` says which part of a long one is kept.
 */
export function plainName(name: string, max = nameMax, keep = clip): string {
  // Bounded first, and again because NFKC makes some characters longer.
  const letters = keep(name, 4 * max).normalize('NFKC');
  return keep(oneLine(letters.replace(/[@/\\<>"“”„«»`]/g, ''), letters.length), max);
}

const idMax = 200;

/** An id that others chose. One that is too long becomes its hash: equal ids stay equal. */
export function boundedId(id: string): string {
  return id.length <= idMax ? id : `sha256:${createHash('sha256').update(id).digest('hex')}`;
}

/**
 * A name that somebody chose, in quotes and in full. What is invisible, or changes how text around it
 * is shown, becomes its code point, as does what a chat would show as somebody's name; what it could
 * take for formatting is shown as code.
 */
export function quoted(name: string): string {
  const seen = name.replace(
    /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800"`\\]|@(?=\d)/gu,
    (character) => (character === ' ' ? ' ' : `\\u{${character.codePointAt(0)?.toString(16)}}`),
  );
  return /[*_~]/.test(seen) ? `\`"${seen}"\`` : `"${seen}"`;
}

/**
 * A name that is safe in any folder and in a shell: letters, numbers, `.`, `_` and `-`, with neither
 * a dot nor a hyphen first. At most `max` units, of which the extension is the end; never empty.
 */
export function fileName(name: string, max = 60): string {
  const safe = normalized(name).replace(/[^\p{L}\p{M}\p{N}._-]/gu, '_');
  return tail(safe, max).replace(/^[.-]+/, '_') || 'file';
}
