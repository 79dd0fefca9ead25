/** The control port refuses wrong requests with a reason that helps whoever writes a test. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { WhatsAppServer } from './client.ts';

const alice = { number: '15551110002', lid: '900000000000012', name: 'Alice' };
const answerSchema = z.strictObject({
  error: z.string().optional(),
  result: z.unknown().optional(),
});

let server: WhatsAppServer;

beforeAll(async () => {
  server = await WhatsAppServer.start();
  await server.do('addPeer', alice);
});
afterAll(() => server.close());

/** Sends any bytes to any path, which the typed client cannot. */
async function ask(path: string, body: string | null, method = 'POST') {
  const response = await fetch(`${server.controlUrl}/${path}`, { method, body });
  const { error, result } = answerSchema.parse(await response.json());
  return { status: response.status, error, result };
}

test('answers a known action with its result, and with null when there is none', async () => {
  expect(await ask('heard', JSON.stringify({ by: alice.number }))).toEqual({
    status: 200,
    error: undefined,
    result: [],
  });
  expect(await ask('setFaults', '{}')).toMatchObject({ status: 200, result: null });
});

test('takes a missing body for an empty request', async () => {
  expect(await ask('state', '')).toMatchObject({ status: 200, result: { isLinked: false } });
});

test.each([
  ['an unknown action', 'dance', '{}', 404, /no action "dance"/],
  ['what every object has', 'toString', '{}', 404, /no action "toString"/],
  ['the prototype', '__proto__', '{}', 404, /no action "__proto__"/],
  ['no action', '', '{}', 404, /no action ""/],
  ['text that is no JSON', 'send', 'hello', 400, /JSON/],
  ['half a JSON', 'send', '{"by":', 400, /JSON/],
  ['a list', 'send', '[]', 400, /expected object/],
  ['null', 'send', 'null', 400, /expected object/],
  ['what is missing', 'send', '{"by":"15551110002"}', 400, /content/],
  ['a word too many', 'drop', '{"now":true}', 400, /"now"/],
  ['a wrong type', 'setFaults', '{"duplicates":"3"}', 400, /expected number[\s\S]*duplicates/],
  ['a negative count', 'setFaults', '{"swallowedAcks":-1}', 400, />=0/],
  ['a delay in one number', 'setFaults', '{"ackDelayMs":5}', 400, /ackDelayMs/],
  ['an unknown fault', 'setFaults', '{"gremlins":1}', 400, /"gremlins"/],
  ['an unknown media answer', 'setFaults', '{"mediaAnswers":["burn"]}', 400, /mediaAnswers/],
  ['an unknown code', 'endStream', '{"code":418}', 400, /code/],
  ['a code that is too short', 'enterCode', '{"code":"ABC"}', 400, /code/],
  ['a number with letters', 'heard', '{"by":"Alice"}', 400, /by/],
  ['to wait for no time', 'waitState', '{"timeoutMs":0}', 400, /timeoutMs/],
])('refuses %s', async (_, path, body, status, words) => {
  const answer = await ask(path, body);
  expect(answer).toMatchObject({ status, error: expect.stringMatching(words) });
});

test('refuses a kind of message that it does not know, and names those that it knows', async () => {
  const body = { by: alice.number, content: { kind: 'smell' } };
  const { status, error } = await ask('send', JSON.stringify(body));
  expect(status).toBe(400);
  expect(error).toMatch(/kind/);
});

test('refuses anything but POST', async () => {
  expect(await ask('state', null, 'GET')).toMatchObject({
    status: 405,
    error: expect.stringMatching(/POST/),
  });
});

test.each([
  ['nobody has this number', 'heard', { by: '15559999999' }, /nobody has the number 15559999999/],
  [
    'there is no such group',
    'send',
    { by: alice.number, group: '1@g.us', content: { kind: 'text', text: 'x' } },
    /no group 1@g.us/,
  ],
  [
    'a member is nobody',
    'addGroup',
    { id: '120363000000000001', subject: 'x', members: ['15559999999'] },
    /nobody has the number 15559999999/,
  ],
  [
    'no device is linked',
    'send',
    { by: alice.number, content: { kind: 'text', text: 'x' } },
    /no device is linked/,
  ],
  ['none is linked to unlink', 'unlinkFromPhone', {}, /no device is linked/],
  ['no client waits', 'scanQr', { qr: '2@a,b,c,d' }, /no client waits/],
  ['no code was asked for', 'enterCode', { code: 'ABCDEFGH' }, /no code was asked for/],
  ['no message has this file', 'expireMedia', { messageId: 'x' }, /no such message/],
  ['no client is there to drop', 'drop', {}, /no client is connected/],
  ['no client is there to stall', 'stall', {}, /no client is connected/],
  ['no client is there to end', 'endStream', { code: 401 }, /no client is connected/],
  [
    'it is no pattern',
    'waitHeard',
    { by: alice.number, text: '(', timeoutMs: 1 },
    /pattern|regular/i,
  ],
])('refuses, as things stand, when %s', async (_, action, body, words) => {
  const answer = await ask(action, JSON.stringify(body));
  expect(answer).toMatchObject({ error: expect.stringMatching(words) });
  expect([400, 409]).toContain(answer.status);
});

test('reports that what it waited for did not happen in time', async () => {
  const waiting = server.waitState({ isLinked: true, timeoutMs: 20 });
  await expect(waiting).rejects.toThrow('waitState: it did not happen in time');
});

test('still works after all these refusals', async () => {
  expect(await server.do('state', {})).toMatchObject({ isLinked: false, attempts: 0 });
});
