/**
 * Converts the model's Markdown to WhatsApp's own formatting: *bold*, _italic_, ~strike~, `code`,
 * lists and quotes. Leaves code as it is. Never throws: what cannot be converted is returned
 * unchanged.
 */
import { lexer, type Token, type Tokens } from 'marked';

/** Longer texts are not converted: marked takes quadratic time on some, up to minutes. */
const convertedMax = 5000;
/** The longest text that WhatsApp accepts. A table grows, since each row repeats its header. */
const resultMax = 60_000;
/** The HTML elements to remove. Anything else in angle brackets is text. */
const tags =
  /<!--.*?-->|<\/?(?:a|b|i|u|s|br|em|div|img|kbd|p|span|strong|su[bp]|summary|details)\b[^<>]*>/gis;

/** `name` is put before the text; null if the assistant has a number of its own. */
export function toWhatsApp(markdown: string, name: string | null): string {
  const text = convert(markdown) || markdown;
  // Lists, quotes and code are recognised only at the beginning of a line.
  return name ? `*${name}:*${/^(?:[->`]|\d+\.)/.test(text) ? '\n' : ' '}${text}` : text;
}

function convert(markdown: string): string | undefined {
  if (markdown.length > convertedMax) return undefined;
  try {
    const text = blocks(lexer(markdown)).trim();
    return text.length > resultMax ? undefined : text;
  } catch (error) {
    // Deeply nested quotes exhaust marked's stack.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function blocks(tokens: Token[]): string {
  return tokens
    .map(block)
    .join('')
    .replace(/\n{3,}/g, '\n\n');
}

function block(token: Token): string {
  switch (token.type) {
    case 'heading':
      return `${wrap('*', inline(token.tokens).replaceAll('*', ''))}\n\n`;
    case 'paragraph':
      return `${inline(token.tokens)}\n\n`;
    case 'text':
      return token.tokens ? inline(token.tokens) : unescapeHtml(token.text);
    case 'code':
      return `\`\`\`${token.text}\`\`\`\n\n`;
    case 'blockquote':
      return `${prefixed('> ', blocks(token.tokens ?? []).trim())}\n\n`;
    case 'list':
      return `${list(token as Tokens.List)}\n\n`;
    case 'table':
      return `${table(token as Tokens.Table)}\n\n`;
    case 'hr':
      return '―――\n\n';
    case 'space':
      return '\n\n';
    case 'html':
      return withoutTags(token.raw);
    default:
      return token.raw;
  }
}

function list({ items, ordered, start }: Tokens.List): string {
  const lines = items.map((item, index) => {
    const box = item.task ? (item.checked ? '[x] ' : '[ ] ') : '';
    const mark = ordered ? `${Number(start || 1) + index}. ` : '- ';
    const content = item.tokens
      .filter(({ type }) => type !== 'checkbox')
      .map((token) => (token.type === 'list' ? `\n${block(token)}` : block(token)))
      .join('')
      .trim()
      .replace(/\n{2,}/g, '\n');
    const [first = '', ...rest] = content.split('\n');
    return [`${mark}${box}${first}`, ...rest.map((line) => `  ${line}`)].join('\n');
  });
  return lines.join('\n');
}

/** One line per row: a phone is too narrow for columns. */
function table({ header, rows }: Tokens.Table): string {
  const names = header.map(({ tokens }) => inline(tokens));
  const lines = rows.map((row) =>
    row
      .map(({ tokens }, index) => [names[index], inline(tokens)].filter(Boolean).join(': '))
      .join(' | '),
  );
  return prefixed('- ', lines.join('\n'));
}

function inline(tokens: Token[] | undefined): string {
  const all = tokens ?? [];
  return all
    .map((token, index) => {
      const isMark = token.type === 'em' || token.type === 'strong';
      const isInWord =
        /\w$/.test(all[index - 1]?.raw ?? '') || /^\w/.test(all[index + 1]?.raw ?? '');
      // No emphasis within a word: 2*3*4 stays as it is.
      return isMark && isInWord ? token.raw : span(token);
    })
    .join('');
}

function span(token: Token): string {
  switch (token.type) {
    case 'strong':
      return wrap('*', inline(token.tokens));
    case 'em':
      return wrap('_', inline(token.tokens));
    case 'del':
      return wrap('~', inline(token.tokens));
    case 'codespan':
      return `\`${token.text}\``;
    case 'br':
      return '\n';
    case 'link':
      return link(token.href, inline(token.tokens));
    case 'image':
      return link(token.href, token.text);
    case 'html':
      return withoutTags(token.raw);
    case 'text':
      return token.tokens ? inline(token.tokens) : unescapeHtml(token.text);
    case 'escape':
      return token.text;
    default:
      return token.raw;
  }
}

/** Wraps line by line, as WhatsApp expects. Skips empty lines, which would show the marks. */
function wrap(mark: string, text: string): string {
  return text.replace(/[^\s](?:.*[^\s])?/g, (line) => `${mark}${line}${mark}`);
}

function withoutTags(html: string): string {
  return html.replace(tags, (tag) => (/^<br/i.test(tag) ? '\n' : ''));
}

function link(href: string, text: string): string {
  const plain = href.replace(/^mailto:/, '');
  // marked makes links of www.x.y, and so does WhatsApp itself.
  if (plain === `http://${text}`) return text;
  return text && text !== plain ? `${text} (${plain})` : plain;
}

function prefixed(prefix: string, text: string): string {
  return text
    .split('\n')
    .map((line) => prefix + line)
    .join('\n');
}

function unescapeHtml(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');
}
