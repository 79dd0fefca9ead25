/** A gateway that says the credential aloud: none of it reaches the container. */
import type { RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { apiKey, modelWire, secret, send, startUpstream } from '../../test/support/model-wire.ts';
import type { Credential } from '../config.ts';

const host = modelWire();
const mark = '[credential]';
/** One that every notation writes in its own way. */
const awkward = "gw_\"A+b/c=&\\{0}<9>'secret'/==";

/** What the container receives of a gateway's answer. */
async function ask(gateway: RequestListener, credential: Credential = apiKey, path = '') {
  const api = `${await startUpstream(gateway)}${path}`;
  return send(await host.openContainer(credential, api), {
    headers: { 'accept-encoding': 'gzip, br, zstd' },
  });
}

function answering(status: number, body: string | Buffer, headers = {}): RequestListener {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

describe('of an error is replaced', () => {
  const inJson = JSON.stringify(awkward).slice(1, -1);
  const escaped = awkward.replace(/[^\w.-]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  const base64 = (words: string) => Buffer.from(words).toString('base64');

  test.each([
    ['the credential', secret, secret, mark],
    [
      'the whole header',
      secret,
      `Bearer ${secret}, ${secret}${secret}`,
      `Bearer ${mark}, ${mark}${mark}`,
    ],
    ['the credential in capitals', secret, secret.toUpperCase(), mark],
    ['what URLs make of it', awkward, `?key=${encodeURIComponent(awkward)}`, `?key=${mark}`],
    ['what other URLs make of it', awkward, encodeURIComponent(awkward).toLowerCase(), mark],
    ['what JSON makes of it', awkward, `"Key = ${inJson}"`, `"Key = ${mark}"`],
    ['what JSON of PHP makes of it', awkward, inJson.replaceAll('/', '\\/'), mark],
    ['what JSON of .NET makes of it', awkward, escaped, mark],
    ['hexadecimal digits', secret, Buffer.from(secret).toString('hex'), mark],
    ['base64', secret, base64(secret), /^\[credential\].?=*$/],
    ['base64 after one byte', secret, base64(`:${secret}.`), /^..\[credential\].{1,4}$/],
    ['base64 after two bytes', secret, base64(`me${secret} and`), /^.{2,3}\[credential\].{4,8}$/],
    [
      'base64 for URLs',
      awkward,
      Buffer.from(`:${awkward}`).toString('base64url'),
      /^..\[credential\].?$/,
    ],
  ])('%s', async (_kind, key, said, expected) => {
    const answer = await ask(answering(401, `Before ${said} after.`), {
      kind: 'auth-token',
      secret: key,
    });
    expect(answer.statusCode).toBe(401);
    const [, received] = /^Before (.*) after\.$/.exec(await text(answer)) ?? [];
    if (typeof expected === 'string') expect(received).toBe(expected);
    else expect(received).toMatch(expected);
  });

  test.each([1, 2, 7, 31])('what comes in pieces of %i', async (size) => {
    const said = Buffer.from(
      `s sk sk-the ${secret} sk-the-real ${encodeURIComponent(secret)} sk-t`,
    );
    const answer = await ask(async (_, response) => {
      response.writeHead(500);
      for (let at = 0; at < said.length; at += size) {
        response.write(said.subarray(at, at + size));
        await new Promise(setImmediate);
      }
      response.end();
    });
    expect(await text(answer)).toBe(`s sk sk-the ${mark} sk-the-real ${mark} sk-t`);
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ] as const)('what comes as %s, though nobody asked for it', async (encoding, compress) => {
    let accepted: unknown;
    const answer = await ask((incoming, response) => {
      accepted = incoming.headers['accept-encoding'];
      answering(400, compress(`no: ${secret}`), { 'content-encoding': encoding })(
        incoming,
        response as never,
      );
    });
    expect(accepted).toBe('identity');
    expect(answer.headers['content-encoding']).toBeUndefined();
    expect(await text(answer)).toBe(`no: ${mark}`);
  });

  test('the password in the address of the gateway', async () => {
    const upstream = await startUpstream((incoming, response) => {
      response.writeHead(403).end(`${incoming.headers.authorization} p@ss-word-1`);
    });
    const api = upstream.replace('//', '//user:p%40ss-word-1@');
    const received = await text(await send(await host.openContainer(apiKey, api), {}));
    expect(received).toMatch(/^Basic [\w[\]=]+ \[credential\]$/);
    expect(received).toContain(mark);
    expect(Buffer.from(received, 'base64').toString()).not.toContain('ss-word');
  });
});

test('an answer in an unknown encoding is no answer', async () => {
  const answer = await ask(answering(400, secret, { 'content-encoding': 'zstd' }));
  expect(answer.statusCode).toBe(502);
  expect(await text(answer)).toContain('api_error');
});

test('no header and no trailer brings it back, in name or value', async () => {
  const answer = await ask((_, response) => {
    response.writeHead(200, `Hello ${secret}`, {
      'anthropic-echo': [`x-api-key: ${secret}`, `Bearer ${secret}`],
      [`anthropic-${secret}`]: '1',
      'anthropic-plain': 'kept',
      'request-id': secret,
      'content-type': `text/plain; key=${encodeURIComponent(secret)}`,
      location: `https://example.org/?key=${secret}`,
      trailer: 'anthropic-late',
    });
    response.addTrailers({ 'anthropic-late': secret });
    response.end('fine');
  });
  expect(await text(answer)).toBe('fine');
  const heads = JSON.stringify([answer.rawHeaders, answer.rawTrailers, answer.statusMessage]);
  expect(heads).not.toContain(secret);
  expect(answer.headers).toMatchObject({
    'anthropic-echo': `x-api-key: ${mark}, Bearer ${mark}`,
    'anthropic-plain': 'kept',
    'request-id': mark,
    'content-type': `text/plain; key=${mark}`,
  });
});

describe('a stream with status 200', () => {
  const event = (name: string, message: string) =>
    `event: ${name}\ndata: ${JSON.stringify({ type: name, error: { message } })}\n\n`;

  test('may end in an error that names it', async () => {
    const answer = await ask(answering(200, event('ping', '') + event('error', `bad: ${secret}`)));
    expect(await text(answer)).toBe(event('ping', '') + event('error', `bad: ${mark}`));
  });

  test('holds no event back, and loses no byte of it', async () => {
    const events = Array.from({ length: 50 }, (_, count) =>
      event('delta', `sk-the-real 🙂 ${count}`),
    );
    let proceed = () => {};
    const answer = await ask((_, response) => {
      const rest = [...events];
      proceed = () => {
        const next = rest.shift();
        if (next) response.write(next);
        else response.end();
      };
      response.flushHeaders();
    });
    const seen: string[] = [];
    proceed();
    for await (const chunk of answer) {
      seen.push(String(chunk));
      proceed();
    }
    expect(seen).toEqual(events);
  });

  test('may hold the word that a local server takes for a key', async () => {
    const local = { kind: 'auth-token', secret: 'ollama' } as const;
    const said = 'You have ollama here.';
    expect(await text(await ask(answering(200, said), local))).toBe(said);
    expect(await text(await ask(answering(401, said), local))).toBe(`You have ${mark} here.`);
  });
});
