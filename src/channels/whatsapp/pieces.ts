/**
 * Cuts a formatted text into messages that can be read alone: a cut closes the marks that are open
 * and opens them again, and repeats what the lines of a quote begin with. Takes linear time.
 */

/** The sign around bold words, code and the like. Two bold words have a mark each. */
export interface Mark {
  sign: string;
}

/** The one mark that stays open from line to line. */
export const fence = '```';

/** A stretch of text that is not cut. */
export interface Part {
  /** White space, which a cut removes. Two line ends: here a paragraph ends. */
  before: string;
  /** What the line or the message begins with if this is its first part. */
  prefix: string;
  text: string;
  /** Outermost first. */
  marks: Mark[];
  /** Belongs to what is before it: a text to its heading, a word to the link that it ends. */
  sticks: boolean;
}

interface Cut {
  text: string;
  /** The index of the first part after it. */
  end: number;
}

const piecesMax = 500;

/**
 * Messages of at most `max` UTF-16 units. No part may take more than half of that. Throws
 * RangeError if there would be too many: a text grows where a table's rows repeat its header.
 */
export function cutIntoPieces(parts: Part[], max: number): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < parts.length; ) {
    const { text, end } = pieceFrom(parts, start, max);
    if (pieces.push(text) > piecesMax) throw new RangeError('too long');
    start = end;
  }
  return pieces;
}

function pieceFrom(parts: Part[], start: number, max: number): Cut {
  /** By kind: the last place for a cut of that kind or a better one. */
  const cuts: Cut[] = [];
  let text = '';
  let open: Mark[] = [];
  for (let end = start; ; end += 1) {
    const cut = { text: text + closing(open), end };
    const part = parts[end];
    if (!part) return cut;
    const isFirst = end === start;
    if (!isFirst) for (let kind = kindOfCut(part); kind >= 0; kind -= 1) cuts[kind] = cut;
    const beginsLine = isFirst || part.before.includes('\n');
    const kept = part.marks.filter(
      (mark, depth) => mark === open[depth] && (!beginsLine || mark.sign === fence),
    ).length;
    text += closing(open.slice(kept)) + (isFirst ? '' : part.before);
    text += (beginsLine ? part.prefix : '') + signs(part.marks.slice(kept)) + part.text;
    open = part.marks;
    if (!isFirst && text.length + signs(open).length > max) return bestOf(cuts, max) ?? cut;
  }
}

/** 0: inside a word or where parts stick; then between words, lines and paragraphs. */
function kindOfCut({ before, sticks }: Part): number {
  return sticks || !before ? 0 : before.split('\n').length;
}

/** A very short piece is worse than a cut of the next kind. */
function bestOf(cuts: Cut[], max: number): Cut | undefined {
  const long = cuts.findLast(({ text }, kind) => kind > 0 && text.length >= max / 4);
  return long ?? cuts[1] ?? cuts[0];
}

function signs(marks: Mark[]): string {
  return marks.map(({ sign }) => sign).join('');
}

function closing(marks: Mark[]): string {
  return signs(marks.toReversed());
}
