import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { Agents } from './agents.ts';
import { findAgent, findAgentByInbox, loadAgent } from './db/agents.ts';
import { saveGroup } from './db/groups.ts';
import { findMessage, hasUnclaimed } from './db/messages.ts';
import { listPending, listPendingChats, wordsOf } from './db/outbox.ts';
import { mainGroup, moveMain } from './groups.ts';
import type { Channel, OutboundContent } from './types.ts';

const chatId = 'whatsapp:family@g.us';
const clock = { kind: 'clock', id: 'clock' } as const;
const text = (words: string): OutboundContent => ({ kind: 'text', text: words, about: null });
const file: OutboundContent = {
  kind: 'file',
  file: { hostPath: '/a.txt', name: 'a.txt', mime: 'text/plain', sizeBytes: 1 },
  text: 'see',
  about: null,
};

/** Main, and the family's group with a helper in its chat and a member that answers the helper. */
function openAgents() {
  const opened = openFeatureHost();
  const { store, agents } = opened;
  saveGroup(store, mainGroup);
  saveGroup(store, { ...mainGroup, folder: 'family', chatId, name: 'Family', isMain: false });
  const rest = { folder: 'family', tools: null, model: null };
  agents.create({ ...rest, id: 'helper', voice: { kind: 'chat', as: 'Helper' } });
  agents.create({ ...rest, id: 'member', voice: { kind: 'agent', agentId: 'helper' } });
  const said = (chat = chatId) => listPending(store, chat, 100).map(wordsOf);
  const inbox = (id: string) =>
    store.all(
      'SELECT sender_kind AS kind, sender_id AS id, text, role FROM messages WHERE chat_id = :inbox ORDER BY seq',
      {
        inbox: `agent:${id}`,
      },
    );
  return { ...opened, said, inbox, load: (id: string) => loadAgent(store, id) };
}

describe('a post', () => {
  test('is stored once by its id, and wakes the agent once', () => {
    const { agents, woken, inbox } = openAgents();
    const post = (words: string) =>
      agents.post('helper', { id: 'task-7@1', sender: clock, text: words });
    expect(post('water the plants')).toBe(true);
    expect(post('again')).toBe(false);
    expect(inbox('helper')).toEqual([
      { kind: 'clock', id: 'clock', text: 'water the plants', role: 'wakes' },
    ]);
    expect(woken).toEqual(['helper']);
  });

  test('wakes only after the commit, and is undone with its caller', () => {
    const { agents, woken, store } = openAgents();
    const post = (id: string) => agents.post('helper', { id, sender: clock, text: 'x' });
    const broken = () =>
      store.transaction(() => {
        post('a');
        throw new Error('no');
      });
    expect(broken).toThrow('no');
    expect(hasUnclaimed(store, 'agent:helper')).toBe(false);
    expect(woken).toEqual([]);
    store.transaction(() => {
      post('a');
      expect(woken).toEqual([]);
    });
    expect(woken).toEqual(['helper']);
  });

  test('that is too long, or for nobody, is refused', () => {
    const { agents, woken, limits, inbox } = openAgents();
    const post = (id: string, length: number) =>
      agents.post(id, { id: 'a', sender: clock, text: 'x'.repeat(length) });
    expect(() => post('helper', limits.messageTextMax + 1)).toThrow(/100000 characters at most/);
    expect(() => post('nobody', 1)).toThrow('there is no agent nobody');
    expect(inbox('helper')).toEqual([]);
    expect(woken).toEqual([]);
    expect(post('helper', limits.messageTextMax)).toBe(true);
  });

  test.each(['/stop', '@Andy hello', 'nothing of either'])(
    'that says %s is neither command nor call',
    (words) => {
      const { agents, woken, said, store } = openAgents();
      agents.post('family', { id: 'a', sender: { kind: 'host', id: 'host' }, text: words });
      expect(findMessage(store, chatId, 'a')).toMatchObject({
        text: words,
        role: 'wakes',
        sender: { kind: 'host', id: 'host' },
      });
      expect(woken).toEqual(['family']);
      expect(said()).toEqual([]);
    },
  );
});

describe('what is said', () => {
  test('by a group’s own agent goes into its chat as it is', () => {
    const { agents, said, load } = openAgents();
    agents.say(load('family'), text('hello'), null);
    agents.report(load('family'), 'I stopped.');
    expect(said()).toEqual(['hello', 'I stopped.']);
  });

  test('under a name shows it, but not the host’s words about it', () => {
    const { agents, said, load } = openAgents();
    const about = { messageId: 'm', senderId: 's', text: 't' };
    agents.say(load('helper'), text('hello'), null);
    agents.say(load('helper'), file, null);
    agents.say(load('helper'), { kind: 'reaction', emoji: '🎉', about }, null);
    agents.say(load('helper'), text(''), null);
    agents.report(load('helper'), 'It stopped.');
    expect(said()).toEqual(['*Helper* hello', '*Helper* see', '🎉', 'It stopped.']);
  });

  test('to another agent is put into its inbox, and only words are', () => {
    const { agents, inbox, load, woken, store } = openAgents();
    agents.say(load('member'), text('done'), null);
    agents.say(load('member'), text(''), null);
    agents.report(load('member'), 'It broke down.');
    expect(() => agents.say(load('member'), file, null)).toThrow(/no chat to send that to/);
    expect(inbox('helper')).toEqual([
      { kind: 'agent', id: 'member', text: 'done', role: 'wakes' },
      { kind: 'host', id: 'host', text: 'It broke down.', role: 'wakes' },
    ]);
    expect(woken).toEqual(['helper', 'helper']);
    expect(listPendingChats(store)).toEqual([]);
  });

  test('in a group that lost its chat goes nowhere, and the owner is told once', () => {
    const { agents, load, store, said } = openAgents();
    moveMain(store, chatId);
    for (const id of ['family', 'helper']) {
      expect(findAgent(store, id)?.voice).toBeNull();
      agents.say(load(id), text('hello'), null);
      agents.say(load(id), text('hello again'), null);
      agents.report(load(id), 'I stopped.');
      expect(() => agents.say(load(id), file, null)).toThrow(/no chat to send that to/);
    }
    const notice = 'The group family has no chat any more: what its agent said was not sent.';
    expect(said()).toEqual([notice, 'family: I stopped.']);
    expect(listPendingChats(store)).toEqual([chatId]);
  });
});

test('signs of life of agents in one chat are shown together and end one by one', () => {
  const { host, outbox, owner, load } = openAgents();
  const shown: [string, string | null][] = [];
  const showActivity: Channel['showActivity'] = (...sign) => void shown.push(sign);
  const channel: Channel = {
    name: 'test',
    textMax: 1000,
    connect: async () => {},
    deliver: async () => ({ kind: 'acknowledged' }),
    showActivity,
    describe: () => 'test',
    disconnect: async () => {},
  };
  const agents = new Agents({ ...host, outbox, owner, channelOf: () => channel, wake: () => {} });
  agents.showActivity(load('family'), 'thinking');
  agents.showActivity(load('helper'), 'Bash: ls');
  agents.showActivity(load('member'), 'never shown');
  agents.showActivity(load('main'), 'elsewhere');
  agents.showActivity(load('family'), null);
  agents.showActivity(load('helper'), null);
  expect(shown).toEqual([
    [chatId, 'thinking'],
    [chatId, 'thinking | Bash: ls'],
    [mainGroup.chatId, 'elsewhere'],
    [chatId, 'Bash: ls'],
    [chatId, null],
  ]);
});

test('an agent is named by what can name a folder, and takes no group its own agent', () => {
  const { agents, store } = openAgents();
  const colleague = { folder: 'main', voice: { kind: 'chat' } as const, tools: null, model: null };
  for (const id of ['', '../main', 'a/b', '.hidden', 'A', 'x'.repeat(81)])
    expect(() => agents.create({ ...colleague, id })).toThrow(/cannot name an agent/);
  agents.create({ ...colleague, id: 'work' });
  saveGroup(store, { ...mainGroup, folder: 'work', chatId: 'terminal:work', isMain: false });
  expect(findAgentByInbox(store, 'terminal:work')).toMatchObject({ id: 'work.own' });
});

test('agents cannot be made to answer each other in a circle', () => {
  const { agents } = openAgents();
  const own = { folder: 'main', tools: null, model: null };
  const voice = (agentId: string) => ({ kind: 'agent', agentId }) as const;
  expect(() => agents.create({ ...own, id: 'a', voice: voice('a') })).toThrow(/no agent a/);
  expect(() => agents.create({ ...own, id: 'a', voice: voice('b') })).toThrow(/no agent b/);
});

test('what waits for an own agent goes along when its group gets, loses or changes its chat', () => {
  const { store, agents } = openAgents();
  const clocked = { sender: clock, text: 'water the plants' };
  const family = saveGroup(store, { ...mainGroup, folder: 'plants', isMain: false, chatId: null });
  agents.post('plants', { id: '1', ...clocked });
  saveGroup(store, { ...family, chatId: 'terminal:plants' });
  expect(hasUnclaimed(store, 'terminal:plants')).toBe(true);
  moveMain(store, 'terminal:plants');
  expect(hasUnclaimed(store, 'terminal:plants')).toBe(false);
  expect(hasUnclaimed(store, loadAgent(store, 'plants').inbox)).toBe(true);
});
