/**
 * What WhatsApp shows of the model's Markdown, case by case, and that no text is lost, grows too
 * long or throws. Judged by results, not by time.
 */
import { describe, expect, test } from 'vitest';
import { toWhatsApp } from './format.ts';

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
  ])('%s', (_, markdown, expected) => expect(toWhatsApp(markdown, null)).toBe(expected));

  test.each<[string, string, string]>([
    ['bullets of any kind', '* a\n* b', '- a\n- b'],
    ['nested ones', '- a\n  - b\n    1. c\n    2. d\n- e', '- a\n  - b\n    1. c\n    2. d\n- e'],
    ['loose ones', '- a\n\n- b', '- a\n- b'],
    ['numbers from where they start', '3. a\n4. b', '3. a\n4. b'],
    ['formatting in items', '- **a**: _b_', '- *a*: _b_'],
    ['paragraphs in items', '1. a\n\n   b\n2. c', '1. a\n  b\n2. c'],
    ['code in items', '- a\n\n  ```\n  b\n    c\n  ```\n- d', '- a\n  ```b\n    c```\n- d'],
    ['tasks', '- [ ] a\n- [x] b', '- [ ] a\n- [x] b'],
  ])('lists: %s', (_, markdown, expected) => expect(toWhatsApp(markdown, null)).toBe(expected));

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
  ])('%s', (_, markdown, expected) => expect(toWhatsApp(markdown, null)).toBe(expected));
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
  ])('stays as it is: %s', (text) => expect(toWhatsApp(text, null)).toBe(text));

  test('tags of HTML are taken off, what they hold stays', () => {
    expect(toWhatsApp('<b>a</b> b<br/>c', null)).toBe('a b\nc');
    expect(toWhatsApp('<div class="x">a</div>', null)).toBe('a');
    const fold = '<details>\n<summary>more</summary>\n\n**a**\n\n</details>';
    expect(toWhatsApp(fold, null)).toBe('more\n\n*a*');
    expect(toWhatsApp('a <!-- not said --> b', null)).toBe('a  b');
  });
});

describe('on a shared number the assistant signs', () => {
  test('in bold, before the text', () => {
    expect(toWhatsApp('**yes**', 'Andy')).toBe('*Andy:* *yes*');
  });

  test.each(['- a', '> a', '1. a', '`a`'])('on a line of its own before %s', (text) => {
    expect(toWhatsApp(text, 'Andy')).toBe(`*Andy:*\n${text}`);
  });
});

describe('any text gives a text', () => {
  const units = [
    '>',
    '> - ',
    '1. ',
    '- - ',
    '*a_',
    '_a_',
    '**a',
    '[a](',
    '![',
    '<',
    '`a',
    '~~a~',
    '|',
  ];

  test.each(units)('of as many "%s" as a message holds', (unit) => {
    expect(toWhatsApp(unit.repeat(4000 / unit.length), null)).not.toBe('');
  });

  test('too long for marked, as it stands', () => {
    // Some texts of this length would take minutes.
    const long = '**a** '.repeat(10_000);
    expect(toWhatsApp(long, null)).toBe(long);
  });

  test('and never one that is many times longer', () => {
    const table = `|${'h'.repeat(1300)}|\n|-|\n${'|a|\n'.repeat(650)}`;
    expect(table.length).toBeLessThan(4000);
    expect(toWhatsApp(table, null)).toBe(table);
  });

  test('of no words at all, as it stands', () => {
    for (const text of ['', '# ', '<!-- a -->']) expect(toWhatsApp(text, null)).toBe(text);
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
      expect(words(toWhatsApp(said, null)), said).toBeGreaterThanOrEqual(words(said));
    }
  });
});
