/**
 * Converts the model's Markdown to messages in WhatsApp's own formatting: *bold*, _italic_, ~strike~,
 * `code`, lists and quotes. Leaves code as it is. May take half a second for a hostile text.
 */
import MarkdownIt, { type Token } from 'markdown-it';
import { splitText } from '../../format.ts';
import { cutIntoPieces, fence, type Mark, type Part } from './pieces.ts';

/** markdown-it drops what is nested deeper. */
const nestingMax = 20;
/** The HTML elements to remove. Anything else in angle brackets is text. */
const removedTag =
  /^<(?:!--|\/?(?:a|b|i|u|s|br|em|div|img|kbd|p|span|strong|su[bp]|summary|details)\b)/i;
const signs: Record<string, string> = { strong: '*', em: '_', s: '~', code: '`' };
/** White space, and a word or as much of it as fits into any message. */
const words = /(\s*)(\S{0,500})/gu;

/**
 * Messages of at most `max` UTF-16 units. A text without words stays as it is. Throws RangeError
 * if it is nested too deeply or would become too long.
 */
export function layOut(markdown: string, max: number): string[] {
  const writer = new Writer();
  for (const token of createParser().parse(markdown, {})) writer.block(token);
  const pieces = cutIntoPieces(writer.parts, max);
  return pieces.length > 0 ? pieces : splitText(markdown, max);
}

function createParser() {
  const parser = new MarkdownIt({ html: true, linkify: true, maxNesting: nestingMax });
  parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
  // Definitions would vanish from the text, and blocks of HTML would hide the Markdown in them.
  parser.disable(['reference', 'html_block']);
  parser.normalizeLink = (url) => url;
  parser.normalizeLinkText = (url) => url;
  // WhatsApp knows no emphasis within a word: 2*3*4 stays as it is.
  parser.inline.State = class extends parser.inline.State {
    override scanDelims(start: number, canSplitWord: boolean) {
      const found = super.scanDelims(start, canSplitWord);
      const around = [this.src[start - 1], this.src[start + found.length]];
      const isInWord = around.every((character) => /\w/.test(character ?? ''));
      return isInWord ? { ...found, can_open: false, can_close: false } : found;
    }
  };
  return parser;
}

class Writer {
  readonly parts: Part[] = [];
  /** Of each open quote, item and row: what its next line begins with, and those after that. */
  readonly #containers: { next: string; rest: string }[] = [];
  /** Of each open list: the number of the next item, or NaN without numbers. */
  readonly #lists: number[] = [];
  /** What is open at each depth. */
  readonly #marks: Mark[][] = [[]];
  #rows: Token[][] = [];
  /** Where the open link begins in `parts`, and where it leads. */
  #link: { start: number; to: string } | undefined;
  #before = '\n';
  #sticks = false;

  block(token: Token): void {
    const { type, tag, content, nesting, level } = token;
    if (level >= nestingMax - 1) throw new RangeError('nested too deeply');
    if (type === 'inline' && this.#rows.length > 0) this.#rows.at(-1)?.push(token);
    else if (type === 'inline') this.#inline(token);
    else if (nesting === 1) this.#open(token);
    else {
      if (tag === 'ul' || tag === 'ol') this.#lists.pop();
      else if (tag === 'li' || tag === 'blockquote') this.#containers.pop();
      else if (tag === 'table') this.#table();
      else if (tag === 'code') this.#code(content);
      else if (tag === 'hr') this.#text('―――');
      else if (type === 'heading_close') this.#marks.pop();
      // An empty line, except in lists.
      this.#before = this.#lists.length > 0 ? '\n' : `\n${this.#prefix()}\n`;
      if (type === 'heading_close') this.#sticks = true;
    }
  }

  #open(token: Token): void {
    const { type, tag } = token;
    if (tag === 'ul') this.#lists.push(Number.NaN);
    else if (tag === 'ol') this.#lists.push(Number(token.attrGet('start') ?? 1));
    else if (tag === 'li') {
      const number = this.#lists.pop() ?? 0;
      this.#lists.push(number + 1);
      this.#containers.push({ next: number >= 0 ? `${number}. ` : '- ', rest: '  ' });
    } else if (tag === 'blockquote') this.#containers.push({ next: '> ', rest: '> ' });
    else if (tag === 'tr') this.#rows.push([]);
    else if (type === 'heading_open') this.#mark('*');
  }

  #code(content: string): void {
    this.#mark(fence);
    for (const line of content.replace(/\n$/, '').split('\n')) {
      const [indent = ''] = /^\s{0,99}/.exec(line) ?? [];
      // Also an empty line is one.
      this.#add(indent);
      this.#text(line.slice(indent.length));
      this.#endLine();
    }
    this.#marks.pop();
  }

  /** One line per row, with the header in each: a phone is too narrow for columns. */
  #table(): void {
    const [header = [], ...body] = this.#rows.splice(0);
    for (const row of body.length > 0 ? body : [header]) {
      this.#containers.push({ next: '- ', rest: '  ' });
      let between = '';
      for (const [column, cell] of row.entries()) {
        if (!cell.content) continue;
        this.#text(between);
        between = ' | ';
        const name = header[column];
        if (name?.content && row !== header) {
          this.#inline(name);
          this.#text(': ');
        }
        this.#inline(cell);
      }
      this.#containers.pop();
      this.#endLine();
    }
  }

  #inline({ children }: Token): void {
    for (const token of children ?? []) this.#span(token);
  }

  #span(token: Token): void {
    const { type, tag, nesting, content } = token;
    const isHtml = type === 'html_inline';
    if (tag === 'br' || (isHtml && /^<br\b/i.test(content))) this.#endLine();
    else if (isHtml && removedTag.test(content)) return;
    else if (type === 'link_open') this.#link = { start: this.parts.length, to: target(token) };
    else if (type === 'link_close') this.#endLink();
    else if (type === 'image') this.#text(`${content} (${target(token)})`);
    else {
      const sign = signs[tag];
      if (sign && nesting >= 0) this.#mark(sign);
      this.#text(content);
      if (sign && nesting <= 0) this.#marks.pop();
    }
  }

  /** WhatsApp shows no text instead of an address: the address follows the text. */
  #endLink(): void {
    const { start, to } = this.#link ?? { start: 0, to: '' };
    const written = this.parts.slice(start).map(({ before, text }) => before + text);
    const text = written.join('').trim();
    if (text !== to) this.#text(text ? ` (${to})` : to);
    for (const part of this.parts.slice(start + 1)) part.sticks = true;
  }

  /** Opens a mark inside those that are open, unless it is one of them. */
  #mark(sign: string): void {
    const open = this.#marks.at(-1) ?? [];
    this.#marks.push(open.some((mark) => mark.sign === sign) ? open : [...open, { sign }]);
  }

  #text(content: string): void {
    for (const [, space = '', word] of content.matchAll(words)) {
      if (!this.#before.includes('\n')) this.#before += space;
      if (word) this.#add(word);
    }
  }

  #add(text: string): void {
    const [before, prefix, sticks] = [this.#before, this.#prefix(), this.#sticks];
    this.parts.push({ before, prefix, text, marks: this.#marks.at(-1) ?? [], sticks });
    for (const container of this.#containers) container.next = container.rest;
    this.#before = '';
    this.#sticks = false;
  }

  #prefix(): string {
    return this.#containers.map(({ next }) => next).join('');
  }

  #endLine(): void {
    if (!this.#before.includes('\n')) this.#before = '\n';
  }
}

function target(token: Token): string {
  const address = token.attrGet(token.type === 'image' ? 'src' : 'href');
  return String(address).replace(/^mailto:/, '');
}
