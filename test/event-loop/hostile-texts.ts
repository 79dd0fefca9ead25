/** Nested, repeated and ambiguous texts, as long as a parser may get them. */

const units = [
  ['a', ' ', '\n', 'a ', 'a\n', '\t', '\r\n', '.', '-', '/', '!', '\\', '0', '1 ', ',', ':', '='],
  ['@', '@1', '@12345 ', '@Andy', '@Andy ', '@@Andy', '/stop ', '/allow ', '😀', '\ud800', '\0'],
  [
    '\u0301',
    '\u0301\u0316',
    'a\u0301\u0316',
    '\u1100\u1161',
    '\uFDFA',
    '\u200b',
    '\u202e',
    '\u0007',
  ],
  ['<internal>', '</internal>', '<internal', '<', '>', '&', '&amp;', '"', "'", '`', '*', '_', '~'],
  [
    'BEGIN:VCARD\n',
    'TEL',
    'TEL:1\n',
    'item1',
    'item1.TEL;',
    '{',
    '[',
    '[{',
    '{"',
    '":',
    '%',
    '%2e',
  ],
  ['> ', '- ', '1. ', '**a', '*a_', '[a](', '![', '<!--', '|a', '~~~\n', '=\n', 'http://a', '../'],
].flat();

/** Each is at most `length` UTF-16 units long. */
export function hostileTexts(length: number): string[] {
  const repeated = units.flatMap((unit) => {
    const text = unit.repeat(length / unit.length);
    // What ends otherwise makes an expression look at all of it again.
    return [text, `${text.slice(0, -1)}x`, `x${text.slice(0, -1)}`];
  });
  const half = Math.floor(length / 2);
  return [
    ...repeated,
    '\u0301'.repeat(half) + '\u0316'.repeat(half),
    `/${'!'.repeat(length - 2)}x`,
    '>'.repeat(length / 4) + '=\n'.repeat(length / 3),
    '['.repeat(half) + ']'.repeat(half),
  ];
}

/** JSON of at most `length` UTF-16 units, of which much is made. */
export function hostileJson(length: number): string[] {
  const keys = Array.from(
    { length: length / 12 },
    (_, index) => `"${index.toString(36)}":0`,
  ).join();
  const fill = (unit: string, less: number) => unit.repeat((length - less) / unit.length);
  const turn = (uuids: string) =>
    `{"kind":"turn_done","uuids":[${uuids}0],"text":"","error":null,"sessionId":"a","totalCostUsd":0,"inputTokens":0,"outputTokens":0}`;
  const request = (args: string) =>
    `{"kind":"request","requestId":"a","tool":"t","args":{"a":${args}}}`;
  return [
    `{"kind":"reply","text":"",${keys}}`,
    `{"kind":"${fill('a', 20)}"}`,
    `{"${fill('a', 20)}":0}`,
    turn(fill('0,', 200)),
    turn(fill('"",', 200)),
    request(`{${keys}}`),
    request(`[${fill('{},', 200)}0]`),
    request(`${'['.repeat(length / 2 - 100)}${']'.repeat(length / 2 - 100)}`),
    fill('[', 0),
    `${fill('{"a":', 0)}`,
    `{"kind":"reply","text":"${fill('\\u0007', 100)}"}`,
    `{"kind":"message","id":"a","text":"","files":[${fill('0,', 100)}0]}`,
  ];
}
