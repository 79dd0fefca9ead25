/**
 * Markdown, as the model writes it, in WhatsApp's own formatting: *bold*, _italic_, ~strike~,
 * `code`, > quotes and lists. Nothing inside code changes. Total: any text gives a text.
 */
import { lexer, type Token, type Tokens } from 'marked';

/** Above it marked could take minutes: its time grows with the square of some texts. */
const convertedMax = 5000;
/** WhatsApp takes no longer text. A table grows by its header at every row. */
const resultMax = 60_000;
/** Elements that people write in Markdown; other things in angle brackets are text. */
const tags =
  /<!--.*?-->|<\/?(?:a|b|i|u|s|br|em|div|img|kbd|p|span|strong|su[bp]|summary|details)\b[^<>]*>/gis;

/** `name` stands before the text where the assistant writes from its owner's number. */
export function toWhatsApp(markdown: string, name: string | null): string {
  const text = convert(markdown) || markdown;
  // Lists, quotes and code count only at the beginning of a line.
  return name ? `*${name}:*${/^(?:[->`]|\d+\.)/.test(text) ? '\n' : ' '}${text}` : text;
}

function convert(markdown: string): string | undefined {
  if (markdown.length > convertedMax) return undefined;
  try {
    const text = blocks(lexer(markdown)).trim();
    return text.length > resultMax ? undefined : text;
  } catch (error) {
    // Quotes in quotes in quotes exhaust marked's stack.
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

/** One line a row: a phone is too narrow for columns. */
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
      // 2*3*4 is no emphasis.
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

/** Line by line, as WhatsApp reads it. An empty pair would show its marks. */
function wrap(mark: string, text: string): string {
  return text.replace(/[^\s](?:.*[^\s])?/g, (line) => `${mark}${line}${mark}`);
}

function withoutTags(html: string): string {
  return html.replace(tags, (tag) => (/^<br/i.test(tag) ? '\n' : ''));
}

function link(href: string, text: string): string {
  const plain = href.replace(/^mailto:/, '');
  // marked finds www.x.y in the text, as WhatsApp itself does.
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
