import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { newMessage } from '../test/support/store.ts';
import type { Limits } from './config.ts';
import { loadAgent } from './db/agents.ts';
import { noteChat, saveGroup } from './db/groups.ts';
import { claimMessages, type NewMessage, saveMessage } from './db/messages.ts';
import { saveTurn } from './db/turns.ts';
import { mainGroup } from './groups.ts';
import { takePrompts } from './prompts.ts';

function openTurn(limits: Partial<Limits> = {}) {
  const { host, store, clock } = openFeatureHost(limits);
  saveGroup(store, mainGroup);
  noteChat(store, mainGroup.chatId, null, 1);
  const agent = loadAgent(store, 'main');
  const turnId = saveTurn(store, 'main', 1);
  const taken: string[] = [];
  const shown: string[] = [];
  const showTaken = (messages: { id: string }[]) => taken.push(...messages.map(({ id }) => id));
  const say = (id: string, more: Partial<NewMessage> = {}) =>
    saveMessage(store, newMessage({ id, ...more }), 1);
  const prompts = () => {
    claimMessages(store, agent.inbox, turnId, 100);
    const files = takePrompts({ ...host, showTaken }, agent, turnId, null);
    shown.push(...files.flatMap((file) => (file.kind === 'prompt' ? file.images : [])));
    return files.map((file) => (file.kind === 'prompt' ? file.text : ''));
  };
  return { say, prompts, taken, shown, clock };
}

const idsIn = (prompt = '') =>
  [...prompt.matchAll(/<(?:message|post) id="(\w+)"/g)].map(([, id]) => id);

/** Short before it is escaped and its surroundings are added. */
const swelling: Partial<NewMessage> = {
  text: '&'.repeat(100),
  quote: { messageId: '"', senderName: 'Jo', text: '<'.repeat(50), source: 'claim' },
  mentions: [{ call: '@4922', accountId: 'whatsapp:4922@s.whatsapp.net', name: 'Bob' }],
  attachments: [
    { kind: 'image', groupPath: 'media/a.png', name: '&.png', mime: 'image/png', sizeBytes: 7 },
  ],
};

describe('context', () => {
  test('is bounded in the finished prompt: the oldest is left out, and counted', () => {
    const { say, prompts, taken } = openTurn({ contextTextMax: 10_000 });
    for (let index = 0; index < 40; index += 1) say(`c${index}`, { role: 'context', ...swelling });
    say('call', swelling);
    const [prompt = '', ...more] = prompts();
    const ids = idsIn(prompt);
    expect(more).toEqual([]);
    expect(prompt.length).toBeLessThan(12_000);
    expect(prompt.length).toBeGreaterThan(9000);
    expect(ids.at(-1)).toBe('call');
    expect(ids.slice(0, -1)).toEqual(
      Array.from({ length: ids.length - 1 }, (_, index) => `c${41 - ids.length + index}`),
    );
    expect(prompt).toContain(` omitted="${41 - ids.length}"`);
    expect(taken).toEqual(ids);
  });

  test('keeps a part of each message, so that a long one drives out few others', () => {
    const { say, prompts } = openTurn();
    say('first', { role: 'context' });
    say('long', { role: 'context', text: '&'.repeat(65_000) });
    say('call');
    const [prompt] = prompts();
    expect(idsIn(prompt)).toEqual(['first', 'long', 'call']);
    expect(prompt).toContain('&amp; [cut here]</message>');
    expect(prompt?.length).toBeLessThan(32_000);
  });

  test('is, from the host, not driven out by what people say', () => {
    const { say, prompts } = openTurn({ contextTextMax: 200 });
    say('loss', { role: 'context', sender: { kind: 'host', id: 'host' }, text: 'not delivered' });
    for (let index = 0; index < 9; index += 1) say(`c${index}`, { role: 'context' });
    say('call');
    expect(idsIn(prompts()[0])).toEqual(['loss', 'c8', 'call']);
  });
});

test('what wakes the agent is never left out, but spread over prompts by their finished length', () => {
  const { say, prompts, taken } = openTurn({ promptTextMax: 5000, contextTextMax: 0 });
  const ids = Array.from({ length: 20 }, (_, index) => `m${index}`);
  for (const id of ids) say(id, swelling);
  say('long', { text: '&'.repeat(5000) });
  say('last');
  const all = prompts();
  expect(all.flatMap(idsIn)).toEqual([...ids, 'long', 'last']);
  expect(all.length).toBeGreaterThan(4);
  for (const prompt of all) expect(prompt.length < 5100 || idsIn(prompt).length === 1).toBe(true);
  expect(taken).toEqual([...ids, 'long', 'last']);
  expect(prompts()).toEqual([]);
});

describe('images', () => {
  const image = (name: string, sizeBytes: number): Partial<NewMessage> => ({
    attachments: [{ kind: 'image', groupPath: name, name, mime: 'image/png', sizeBytes }],
  });

  test('are as many as the API takes, those of the call first, then the newest', () => {
    const { say, prompts, shown } = openTurn({ imagesBytesMax: 100 });
    for (const id of ['c0', 'c1', 'c2']) say(id, { role: 'context', ...image(id, 30) });
    say('call', image('mine', 30));
    say('last', { role: 'context', ...image('last', 30) });
    say('again');
    const [prompt] = prompts();
    expect(shown).toEqual(['c2', 'mine', 'last']);
    // The agent can still open the others.
    expect(prompt).toContain('path="c0"');
  });

  test('are bounded in number', () => {
    const { say, prompts, shown } = openTurn({ imagesMax: 2 });
    for (const id of ['c0', 'c1', 'c2']) say(id, { role: 'context', ...image(id, 1) });
    say('call', image('mine', 1));
    prompts();
    expect(shown).toEqual(['c2', 'mine']);
  });
});
