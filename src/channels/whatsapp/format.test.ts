/**
 * What WhatsApp shows of the model's Markdown, case by case; how a long text is cut; and that no
 * text is lost. Judged by results, not by time.
 */
import { describe, expect, test } from 'vitest';
import { layOut } from './format.ts';

const whole = (markdown: string) => layOut(markdown, 4000).join('<cut>');

describe('Markdown becomes WhatsApp’s own formatting', () => {
  test.each<[string, string, string]>([
    ['bold', '**a** __b__', '*a* *b*'],
    ['italic', '*a* _b_', '_a_ _b_'],
    ['bold italic', '***a***', '_*a*_'],
    ['italic in bold', '**a _b_ c**', '*a _b_ c*'],
    ['struck out', '~~a~~', '~a~'],
    ['bold over two lines', '**a\nb**', '*a*\n*b*'],
    ['emoji', '👍 **👍**', '👍 *👍*'],
    ['bold before a colon', '**Note:** x', '*Note:* x'],
    ['a heading', '# A **b**\ntext\n### C', '*A b*\n\ntext\n\n*C*'],
    ['inline code', 'use `**a**` now', 'use `**a**` now'],
    ['bold code', '**`a`**', '*`a`*'],
    ['code', '```ts\nlet a = `x`;\n**no** &lt;\n```', '```let a = `x`;\n**no** &lt;```'],
    ['code of another fence', '~~~\n_a_\n~~~', '```_a_```'],
    ['code with a fence in it', '````\n```\na\n```\n````', '``````\na\n``````'],
    ['indented code', '    a\n      b', '```a\n  b```'],
    ['a line', 'a\n\n---\n\nb', 'a\n\n―――\n\nb'],
    ['many empty lines', 'a\n\n\n\n\nb', 'a\n\nb'],
    ['line ends', 'a\nb  \nc\\\nd', 'a\nb\nc\nd'],
    ['entities', 'a &lt; b &amp;&amp; c', 'a < b && c'],
    ['entities for quotes', '&quot;a&quot; &gt; b&#39;s', '"a" > b\'s'],
    ['escapes', '1\\. a \\# b', '1. a # b'],
  ])('%s', (_, markdown, expected) => expect(whole(markdown)).toBe(expected));

  test.each<[string, string, string]>([
    ['bullets of any kind', '* a\n* b', '- a\n- b'],
    ['nested ones', '- a\n  - b\n    1. c\n    2. d\n- e', '- a\n  - b\n    1. c\n    2. d\n- e'],
    ['loose ones', '- a\n\n- b', '- a\n- b'],
    ['numbers from where they start', '3. a\n4. b', '3. a\n4. b'],
    ['formatting in items', '- **a**: _b_', '- *a*: _b_'],
    ['paragraphs in items', '1. a\n\n   b\n2. c', '1. a\n  b\n2. c'],
    ['code in items', '- a\n\n  ```\n  b\n    c\n  ```\n- d', '- a\n  ```b\n    c```\n- d'],
    ['tasks', '- [ ] a\n- [x] b', '- [ ] a\n- [x] b'],
  ])('lists: %s', (_, markdown, expected) => expect(whole(markdown)).toBe(expected));

  test.each<[string, string, string]>([
    ['a quote', '> **a**\n> b', '> *a*\n> b'],
    ['a list in a quote', '> - a\n> - b', '> - a\n> - b'],
    ['a table', '|a|b|\n|-|-|\n|1|**2**|\n|3|4|', '- a: 1 | b: *2*\n- a: 3 | b: 4'],
    ['a link', '[a **b**](http://x.y/a_b_c)', 'a *b* (http://x.y/a_b_c)'],
    ['a link that is its own text', '[http://x.y](http://x.y)', 'http://x.y'],
    ['an address in brackets', '<http://x.y>', 'http://x.y'],
    ['an address in the text', 'see http://x.y/a_b_c.', 'see http://x.y/a_b_c.'],
    ['a name without http', 'see www.x.y or x.y', 'see www.x.y or x.y'],
    ['a mail address', '[write](mailto:a@b.cd) a@b.cd', 'write (a@b.cd) a@b.cd'],
    ['an image', '![alt](http://x.y/i.png)', 'alt (http://x.y/i.png)'],
  ])('%s', (_, markdown, expected) => expect(whole(markdown)).toBe(expected));
});

describe('what is no formatting', () => {
  test.each([
    'snake_case_word and another_one_',
    '2*3*4 = 24, 2 * 3 * 4, 2**3**4',
    'a lone * and _ and ~ and `',
    'List<String> and <name> and Map<string, number>',
    'x<y and y>z',
    '@491701234567 are you there?',
    '#hashtag',
    '$& $1',
  ])('stays as it is: %s', (text) => expect(whole(text)).toBe(text));

  test('tags of HTML are taken off, what they hold stays', () => {
    expect(whole('<b>a</b> b<br/>c')).toBe('a b\nc');
    expect(whole('<div class="x">a</div>')).toBe('a');
    const fold = '<details>\n<summary>more</summary>\n\n**a**\n\n</details>';
    expect(whole(fold)).toBe('more\n\n*a*');
    expect(whole('a <!-- not said --> b')).toBe('a  b');
  });
});

describe('a text that is longer than a message', () => {
  const words = (count: number, word = 'word') =>
    Array.from({ length: count }, (_, index) => `${word}${index}`).join(' ');
  /** Cuts, and shows that no message is too long. */
  const cut = (markdown: string, max = 200) => {
    const pieces = layOut(markdown, max);
    for (const piece of pieces) expect(piece.length, piece).toBeLessThanOrEqual(max);
    return pieces;
  };

  test('is cut between paragraphs, then lines, then words', () => {
    const [a, b] = [words(20, 'a'), words(20, 'b')];
    expect(cut(`${a}\n\n${b}\n\n${b}`, 120)).toEqual([a, b, b]);
    expect(cut(`${a}\n${b}\n${b}`, 120)).toEqual([a, b, b]);
    expect(cut(words(200)).join(' ')).toBe(words(200));
  });

  test('keeps code as code in each piece, and text as text', () => {
    const lines = Array.from({ length: 40 }, (_, index) => `  if (a[${index}]) **b**;`);
    const pieces = cut(`before\n\n\`\`\`js\n${lines.join('\n')}\n\`\`\`\n\n**after**`);
    const code = pieces
      .slice(0, -1)
      .map((piece) => /^(?:before\n\n)?```([^`]+)```$/.exec(piece)?.[1]);
    const [last = ''] = pieces.slice(-1);
    expect(last).toMatch(/^```[^`]+```\n\n\*after\*$/);
    expect([...code, last.split('```')[1]].join('\n').split('\n')).toEqual(lines);
  });

  test('names the columns of a table in each row', () => {
    const rows = Array.from({ length: 30 }, (_, index) => `| ${index} | cell |\n`).join('');
    const pieces = cut(`| **No.** | Text |\n|-|-|\n${rows}`);
    const lines = pieces.join('\n').split('\n');
    expect(lines).toEqual(lines.map((_, index) => `- *No.*: ${index} | Text: cell`));
    expect(lines).toHaveLength(30);
  });

  test('is not cut inside a link or a word where there is another place', () => {
    const link = `[${words(12)}](http://x.y/${'z'.repeat(60)})`;
    const pieces = cut(`${words(15)} ${link} ${words(15)} ${link}`, 250);
    const written = `${words(12)} (http://x.y/${'z'.repeat(60)})`;
    expect(pieces.join(' ')).toBe(`${words(15)} ${written} ${words(15)} ${written}`);
    expect(pieces.filter((piece) => piece.includes(written))).toHaveLength(2);
    const word = 'x'.repeat(150);
    expect(cut(`a ${word} b ${word} c`)).toEqual([`a ${word} b`, `${word} c`]);
    expect(cut(`a ${'😀'.repeat(3000)}`, 2500).join('')).toBe(`a${'😀'.repeat(3000)}`);
  });

  test('closes emphasis at the end of a message and opens it in the next', () => {
    for (const piece of cut(`**${words(100)}**`)) expect(piece).toMatch(/^\*word[^*]+\d\*$/);
    for (const piece of cut(`a **b _${words(100)}_**`).slice(1))
      expect(piece).toMatch(/^\*_word[^*_]+\d_\*$/);
    for (const piece of cut(`\`${words(100)}\``)) expect(piece).toMatch(/^`word[^`]+\d`$/);
  });

  test('keeps the numbers of lists, and marks each line of a quote', () => {
    const items = Array.from({ length: 60 }, (_, index) => `${index + 7}. ${words(3)}`);
    expect(cut(items.join('\n')).join('\n').split('\n')).toEqual(items);
    for (const piece of cut(`> ${words(100)}`)) expect(piece).toMatch(/^> word/);
    const long = cut(`1. ${words(100)}\n2. b`);
    expect(long[0]).toMatch(/^1\. word0/);
    expect(long[1]).toMatch(/^ {2}word/);
    expect(long.at(-1)).toMatch(/\n2\. b$/);
  });

  test('keeps a heading with what follows', () => {
    const sections = Array.from(
      { length: 30 },
      (_, index) => `## H${index}\n\n${words(index + 5)}`,
    );
    const pieces = cut(sections.join('\n\n'));
    expect(pieces.length).toBeGreaterThan(5);
    for (const piece of pieces) expect(piece).not.toMatch(/\*H\d+\*$/);
  });
});

describe('any text gives a text', () => {
  const units = ['> - ', '1. ', '- - ', '*a_', '_a_', '**a', '[a](', '![', '<', '`a', '~~a~', '|'];

  test.each(units)('of as many "%s" as a message holds', (unit) => {
    const text = unit.repeat(4000 / unit.length);
    try {
      expect(whole(text)).not.toBe('');
    } catch (error) {
      // The formatter cuts such a text as it stands.
      expect(error).toBeInstanceOf(RangeError);
    }
  });

  test('but for what is nested too deeply or would grow too long', () => {
    expect(() => layOut(`${'> '.repeat(50)}a`, 4000)).toThrow(RangeError);
    const table = `|${'h'.repeat(100_000)}|\n|-|\n${'|a|\n'.repeat(1000)}`;
    expect(() => layOut(table, 4000)).toThrow(RangeError);
    expect(whole(`${'> '.repeat(15)}a`)).toBe(`${'> '.repeat(15)}a`);
  });

  test('of no words at all, as it stands', () => {
    for (const text of ['# ', '<!-- a -->']) expect(whole(text)).toBe(text.trim());
    expect(layOut('', 4000)).toEqual([]);
  });

  test('of signs by chance, with every word in it', () => {
    const signs = [
      '*',
      '_',
      '~',
      '`',
      '[',
      ']',
      '(',
      ')',
      '<',
      '>',
      '#',
      '-',
      '|',
      '\n',
      ' ',
      '&',
      '!',
    ];
    let state = 7;
    const random = (bound: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * bound);
    };
    for (let round = 0; round < 2000; round += 1) {
      const length = 1 + random(40);
      const parts = Array.from({ length }, () => signs[random(signs.length * 2)] ?? 'word');
      const said = parts.join('');
      const words = (text: string) => text.split('word').length;
      expect(words(whole(said)), said).toBeGreaterThanOrEqual(words(said));
    }
  });
});
