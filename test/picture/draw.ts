/**
 * Draws a chat as a phone shows it: an SVG that needs nothing from elsewhere, for light and dark
 * pages. It breaks lines by the widths of Arial and has each line fill what was measured, so that
 * other fonts keep to the bubbles. It knows text, quotes, documents and reactions, and nothing else.
 */

export interface Bubble {
  /** Null for the phone's owner. */
  from: string | null;
  text: string;
  quote?: { from: string; text: string } | undefined;
  file?: { name: string; sizeBytes: number } | undefined;
  reaction?: string;
  /** The other side has read it. */
  isRead?: boolean;
}

export interface Chat {
  title: string;
  subtitle: string;
  /** Several people write, so each message names its sender. */
  isGroup: boolean;
  bubbles: Bubble[];
}

const width = 400;
const headerHeight = 58;
const margin = 12;
const padding = 9;
const textMax = 300;
const lineHeight = 19;
const textSize = 14;
const smallSize = 12;
const quoteHeight = 42;
const fileHeight = 46;
const tickWidth = 20;

/** Of Arial, in thousandths of the font's size; what is not here counts as a digit does. */
const advances: Record<number, string> = {
  191: "'",
  222: 'ijl',
  278: ' !,./:;fIt[]\\',
  333: '()-r`',
  355: '"',
  389: '*',
  500: 'cksvxyzJ',
  584: '+<=>~',
  611: 'FTZ',
  667: '&ABEKPSVXY',
  722: 'wCDHNRU',
  778: 'GOQ',
  833: 'mM',
  889: '%',
  944: 'W',
  1015: '@',
};
const boldFactor = 1.07;
const nameColours = ['red', 'violet', 'blue', 'orange'];

const style = `
  text { font-family: -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif; fill: #111b21; }
  .page { fill: #efeae2; stroke: #d5cfc6; } .head { fill: #008069; } .white { fill: #fff; } .pale { fill: #c9e6df; }
  .face { fill: #d3ede7; } .initial { fill: #00735f; font-weight: 600; }
  .theirs { fill: #fff; } .own { fill: #d9fdd3; } .shade { fill: #000; opacity: .06; }
  .soft { fill: #667781; } .chip { fill: #fff; stroke: #d5cfc6; } .bar { fill: #06cf9c; } .sheet { fill: #7f66ff; }
  .read { stroke: #34a6dc; } .sent { stroke: #8696a0; } .read, .sent { fill: none; stroke-width: 1.5; stroke-linecap: round; stroke-linejoin: round; }
  .red { fill: #c4532d; } .violet { fill: #7f4fd0; } .blue { fill: #027eb5; } .orange { fill: #a86500; } .bold { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e9edef; } .page { fill: #0b141a; stroke: #2a3942; } .head { fill: #202c33; } .white { fill: #e9edef; } .pale { fill: #8696a0; }
    .face { fill: #2a4b46; } .initial { fill: #7fe0c8; }
    .theirs { fill: #202c33; } .own { fill: #005c4b; } .shade { fill: #fff; opacity: .08; }
    .soft { fill: #9fb0ba; } .chip { fill: #182229; stroke: #2a3942; } .read { stroke: #53bdeb; }
    .red { fill: #f0896a; } .violet { fill: #b39bff; } .blue { fill: #53bdeb; } .orange { fill: #f0b04f; }
  }`;

/** All of them equally high. */
export function drawChats(chats: Chat[]): string[] {
  const drawn = chats.map((chat) => ({ chat, ...drawBubbles(chat) }));
  const height = Math.max(...drawn.map(({ bottom }) => bottom)) + margin;
  return drawn.map(({ chat, parts }) =>
    [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
      `<title>${escapeXml(`A chat on WhatsApp: ${chat.title}`)}</title>`,
      `<desc>${escapeXml(inWords(chat))}</desc>`,
      `<style>${style}\n</style>`,
      `<clipPath id="phone"><rect width="${width}" height="${height}" rx="14"/></clipPath>`,
      '<g clip-path="url(#phone)">',
      `<rect class="page" width="${width}" height="${height}"/>`,
      drawHeader(chat),
      ...parts,
      '</g>',
      `<rect class="page" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="14" fill-opacity="0"/>`,
      '</svg>',
      '',
    ].join('\n'),
  );
}

function drawHeader({ title, subtitle }: Chat): string {
  return [
    `<rect class="head" width="${width}" height="${headerHeight}"/>`,
    `<circle class="face" cx="36" cy="29" r="19"/>`,
    `<text class="initial" x="36" y="35.5" font-size="18" text-anchor="middle">${escapeXml(title.charAt(0))}</text>`,
    `<text class="white bold" x="66" y="26" font-size="16">${escapeXml(title)}</text>`,
    `<text class="pale" x="66" y="44" font-size="${smallSize}">${escapeXml(subtitle)}</text>`,
  ].join('\n');
}

function drawBubbles({ bubbles, isGroup }: Chat): { parts: string[]; bottom: number } {
  const parts: string[] = [];
  const names = [...new Set(bubbles.flatMap(({ from }) => from ?? []))];
  const colourOf = (name: string) => nameColours[names.indexOf(name)] ?? 'soft';
  let y = headerHeight + margin;
  let before: string | null | undefined;
  for (const bubble of bubbles) {
    if (before !== undefined) y += bubble.from === before ? 4 : 10;
    const isNamed = isGroup && bubble.from !== null && bubble.from !== before;
    const drawn = drawBubble(bubble, y, isNamed, colourOf);
    parts.push(drawn.svg);
    y = drawn.bottom;
    before = bubble.from;
  }
  return { parts, bottom: y };
}

function drawBubble(
  { from, text, quote, file, reaction, isRead = false }: Bubble,
  top: number,
  isNamed: boolean,
  colourOf: (name: string) => string,
) {
  const lines = text === '' ? [] : breakLines(text, textMax);
  const widths = lines.map((words) => widthOf(words));
  const ticks = from === null ? tickWidth : 0;
  // The ticks stand behind the last line, or below it.
  const lastWidth = (widths.at(-1) ?? 0) + ticks;
  const isTickBelow = ticks > 0 && (lastWidth > textMax || lines.length === 0);
  const quoteText = quote && clip(quote.text.replaceAll('*', ''), textMax - 20);
  const inner = Math.max(
    ...widths,
    isTickBelow ? 0 : lastWidth,
    isNamed ? widthOf(`*${from}*`, 13) : 0,
    quote ? Math.max(widthOf(quoteText ?? '', smallSize), widthOf(quote.from)) + 20 : 0,
    file ? 216 : 0,
  );
  const boxWidth = inner + 2 * padding;
  const left = from === null ? width - margin - boxWidth : margin;
  const x = left + padding;
  const inside: string[] = [];
  let y = top + 6;
  if (isNamed) {
    inside.push(line(`*${from}*`, x, y + 13, 13, colourOf(from ?? '')));
    y += 19;
  }
  if (quote) {
    inside.push(
      `<rect class="shade" x="${x - 3}" y="${y}" width="${round(inner + 6)}" height="${quoteHeight}" rx="5"/>`,
      `<rect class="bar" x="${x - 3}" y="${y}" width="3.5" height="${quoteHeight}" rx="1.5"/>`,
      line(`*${quote.from}*`, x + 8, y + 17, smallSize, 'soft'),
      line(quoteText ?? '', x + 8, y + 33, smallSize, 'soft'),
    );
    y += quoteHeight + 4;
  }
  if (file) {
    inside.push(drawFile(file, x, y, inner));
    y += fileHeight + 4;
  }
  for (const words of lines) {
    inside.push(line(words, x, y + 14.5, textSize));
    y += lineHeight;
  }
  if (isTickBelow) y += 12;
  const bottom = y + 6;
  if (from === null) inside.push(drawTicks(left + boxWidth - 23, bottom - 15, isRead));
  if (reaction) {
    const at = left + 8;
    inside.push(
      `<rect class="chip" x="${round(at)}" y="${bottom - 6}" width="30" height="22" rx="11"/>`,
      `<text x="${round(at + 15)}" y="${bottom + 9.5}" font-size="13" text-anchor="middle">${reaction}</text>`,
    );
  }
  const side = from === null ? 'own' : 'theirs';
  const box = `<rect class="${side}" x="${round(left)}" y="${top}" width="${round(boxWidth)}" height="${bottom - top}" rx="9"/>`;
  return { svg: [box, ...inside].join('\n'), bottom: bottom + (reaction ? 14 : 0) };
}

function drawFile(
  { name, sizeBytes }: { name: string; sizeBytes: number },
  x: number,
  y: number,
  inner: number,
) {
  const kind = name.split('.').at(-1)?.toUpperCase() ?? '';
  return [
    `<rect class="shade" x="${round(x - 3)}" y="${y}" width="${round(inner + 6)}" height="${fileHeight}" rx="5"/>`,
    `<path class="sheet" d="M${round(x + 8)} ${y + 8}h14l8 8v22h-22z"/>`,
    line(`*${name}*`, x + 42, y + 20, 13),
    line(`${kind}, ${sizeBytes} bytes`, x + 42, y + 36, smallSize, 'soft'),
  ].join('\n');
}

function drawTicks(x: number, y: number, isRead: boolean): string {
  return `<path class="${isRead ? 'read' : 'sent'}" d="M${round(x)} ${y + 4.5}l3.5 3.5l7-8m-2.5 7l1 1l7-8"/>`;
}

/** `*bold*` as WhatsApp has it. As wide as it was measured, whatever the font. */
function line(words: string, x: number, y: number, size: number, colour = ''): string {
  const spans = words
    .split('*')
    .map((part, index) =>
      index % 2 ? `<tspan class="bold">${escapeXml(part)}</tspan>` : escapeXml(part),
    )
    .join('');
  return `<text${colour && ` class="${colour}"`} x="${round(x)}" y="${y}" font-size="${size}" textLength="${round(widthOf(words, size))}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">${spans}</text>`;
}

function breakLines(text: string, max: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    for (const word of paragraph.split(' ')) {
      const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
      if (lines.length > 0 && widthOf(longer) <= max) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines;
  });
}

function clip(text: string, max: number): string {
  if (widthOf(text, smallSize) <= max) return text;
  let end = text.length;
  while (widthOf(`${text.slice(0, end)}…`, smallSize) > max) end -= 1;
  return `${text.slice(0, end).trimEnd()}…`;
}

function widthOf(words: string, size = textSize): number {
  const parts = words.split('*').map((part, index) => {
    const plain = [...part].reduce((sum, character) => sum + advanceOf(character), 0);
    return index % 2 ? plain * boldFactor : plain;
  });
  return (parts.reduce((sum, part) => sum + part, 0) * size) / 1000;
}

function advanceOf(character: string): number {
  const found = Object.entries(advances).find(([, characters]) => characters.includes(character));
  return found ? Number(found[0]) : 556;
}

function inWords({ bubbles }: Chat): string {
  return bubbles
    .map(({ from, text, file, reaction }) =>
      [
        `${from ?? 'You'}:`,
        ...(file ? [`(${file.name})`] : []),
        text.replaceAll('*', ''),
        ...(reaction ? [`[${reaction}]`] : []),
      ].join(' '),
    )
    .join('\n');
}

function round(number: number): number {
  return Math.round(number * 10) / 10;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
