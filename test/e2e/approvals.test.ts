/**
 * What an agent asks for and the owner answers on WhatsApp, with the real agent: the three ways to
 * answer, and everything that looks like an answer and is none.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Store } from '../../src/db.ts';
import { moveMain } from '../../src/groups.ts';
import { runSql } from '../support/database.ts';
import { alice, assistant, family, LinkedHost, owner } from '../support/linked-host.ts';

const familyChat = `whatsapp:${family}`;

/** A host whose family has an agent, and whose main agent asks to rename it. */
async function openHost(mode: 'own' | 'shared' = 'own') {
  const host = await LinkedHost.prepare();
  await host.linkByCode(mode);
  host.prepareGroup('family', familyChat);
  await host.run();
  const { server, model } = host;
  model.otherwise('<internal>nothing to say</internal>');
  const isShared = mode === 'shared';
  const me = isShared ? assistant.number : owner.number;
  const says = (content: Parameters<typeof server.say>[1]) => {
    if (!isShared) return server.say(me, content);
    const to = `${assistant.lid}@lid`;
    const said = typeof content === 'string' ? { kind: 'text' as const, text: content } : content;
    return server.do('sendFromPhone', { content: said, to });
  };
  const quote = (messageId: string, text = 'anything') => ({
    messageId,
    participant: `${assistant.lid}@lid`,
    text,
  });
  return {
    host,
    server,
    model,
    says,
    quote,
    replies: (messageId: string, text: string) =>
      says({ kind: 'text', text, quote: quote(messageId) }),
    reacts: (messageId: string, emoji: string) =>
      says({ kind: 'reaction', messageId, emoji, ofBot: true }),
    hears: (text: string, skip = 0) => server.hears(me, { text, skip }),
    /** Has the agent ask for a name. Resolves to the message that shows the request. */
    asks: async (name: string, saying: (words: string) => Promise<string> = says) => {
      const words = `please rename it to ${name}`;
      const args = { chat_id: familyChat, name };
      model.on(words).callTool('mcp__nanoclaw__register_group', args).thenReply(`asked: ${name}`);
      await saying(words);
      await server.hears(me, { text: `asked: ${name}` });
      return server.hears(me, { text: `Request \\d+: .*named "${name}"` });
    },
    names: () => host.rows(`SELECT name FROM groups WHERE folder = 'family'`),
  };
}

test('yes and no: by a reply, a reaction and a command, each once, also after a restart', async () => {
  const { host, model, says, asks, replies, reacts, hears, names } = await openHost();
  const one = await asks('One');
  expect(one.text).toMatch(
    /^Request 1: the agent "main" asks you to let an agent answer everybody \(called or not\) in the chat .*\(whatsapp:120363000000000001@g\.us\), named "One", with the folder "family"; until now named "family", answering everybody \(called or not\)\.\n/,
  );
  expect(names()).toEqual([{ name: 'family' }]);
  await reacts(one.id, '👍🏽');
  await hears('^Registered');
  expect(names()).toEqual([{ name: 'One' }]);
  const told = await model.call('Your request 1');
  expect(told.said).toMatch(/<post id="[^"]+" from="host".*is approved\. Registered/);
  await replies(one.id, 'ok');
  await hears('^Request 1 is approved already');

  const two = await asks('Two');
  await replies(two.id, 'No.');
  await hears('^Rejected: let an agent');
  await model.call('Your request 2');
  await says('/approve 2');
  await hears('^Request 2 is rejected already');

  const three = await asks('Three');
  await host.stop();
  await replies(three.id, 'OK');
  await host.run();
  await hears('^Registered', 1);
  expect(names()).toEqual([{ name: 'Three' }]);

  await asks('Four');
  await says('/pending');
  await hears('^Request 4: the agent "main" asks.*\\.$');
  await says('/approve 4');
  await hears('^Registered', 2);
  expect(names()).toEqual([{ name: 'Four' }]);
});

test('a yes comes too late once things have changed, or a day has passed', async () => {
  const { host, says, asks, replies, hears, names } = await openHost();
  const one = await asks('One');
  await says(`/register ${familyChat} family called`);
  await hears('^Registered');
  await replies(one.id, 'ok');
  await hears('^Request 1 could not be carried out: things have changed');
  const two = await asks('Two');
  await host.stop();
  runSql(
    join(host.home, 'store', 'nanoclaw.db'),
    'UPDATE approvals SET asked_at = asked_at - 86400000',
  );
  await host.run();
  await replies(two.id, 'ok');
  await hears('^Request 2 is expired already');
  expect(names()).toEqual([{ name: 'family' }]);
  await says('/unregister family');
  await hears('^family is unregistered');
  await forgets(host);
});

/** What is said in the chat now reaches no agent, and is not kept. */
async function forgets(host: LinkedHost): Promise<void> {
  await host.server.sayInGroup(alice.number, family, 'is anybody there, @Andy?');
  await host.server.waitState({ maxWaiting: 0 });
  await host.talks('still here');
  expect(host.rows(`SELECT id FROM messages WHERE text LIKE '%anybody there%'`)).toEqual([]);
}

test('nobody else answers, from nowhere else, and nothing that only looks like an answer', async () => {
  const { host, server, model, says, asks, quote, replies, reacts, hears, names } =
    await openHost();
  const early = await says('something said before');
  const { id, text } = await asks('Forged');
  model.on('looks like it').reply(text);
  await server.say(owner.number, 'say what looks like it');
  const lookalike = await server.hears(owner.number, { text: '^Request 1: ', skip: 1 });

  const reply = { kind: 'text', text: 'ok', quote: quote(id, text) } as const;
  const reaction = { kind: 'reaction', messageId: id, emoji: '👍', ofBot: true } as const;
  await server.say(alice.number, reply);
  await server.say(alice.number, reaction);
  for (const member of [alice, owner]) {
    await server.sayInGroup(member.number, family, reply);
    await server.sayInGroup(member.number, family, reaction);
    await server.sayInGroup(member.number, family, '/approve 1');
  }
  await server.hears(alice.number, { group: family, text: '/approve works in the main chat only' });
  await says('ok');
  await says({ kind: 'edit', messageId: early, text: 'ok' });
  await replies(lookalike.id, 'ok');
  await reacts(lookalike.id, '👍');
  await replies('3EB0000000000000000000', 'ok');
  await replies(id, 'ok, but first tell me why');
  await says({ ...reply, isForwarded: true });
  await reacts(id, '❤️');
  await reacts(id, '');
  await server.waitState({ maxWaiting: 0 });
  await host.talks('go on');
  expect(names()).toEqual([{ name: 'family' }]);
  expect(host.rows('SELECT state FROM approvals')).toEqual([{ state: 'pending' }]);
  await says('/reject 1');
  await hears('^Rejected');
});

test('where the main chat is a group, the owner answers and commands there, and no other member', async () => {
  const { host, server, quote, hears, names, asks } = await openHost();
  await host.stop();
  const work = await server.do('addGroup', {
    id: '120363000000000002',
    subject: 'Work',
    members: [alice.number, owner.number],
  });
  const store = new Store(join(host.home, 'store', 'nanoclaw.db'));
  moveMain(store, `whatsapp:${work}`);
  store.close();
  await host.run();
  const { id } = await asks('Ours', (words) => server.sayInGroup(alice.number, work, words));
  const reply = { kind: 'text', text: 'ok', quote: quote(id) } as const;
  const reaction = { kind: 'reaction', messageId: id, emoji: '👍', ofBot: true } as const;
  await server.sayInGroup(alice.number, work, reply);
  await server.sayInGroup(alice.number, work, reaction);
  await server.sayInGroup(alice.number, work, '/approve 1');
  await hears('^/approve is for the owner of this assistant only');
  expect(names()).toEqual([{ name: 'family' }]);
  await server.sayInGroup(owner.number, work, reaction);
  await hears('^Registered');
  expect(names()).toEqual([{ name: 'Ours' }]);
});

test('on a shared number the owner’s phone answers, and the assistant does not', async () => {
  const { host, model, server, says, asks, reacts, hears, names } = await openHost('shared');
  const { id } = await asks('Own');
  model
    .on('answer it yourself')
    .callTool('mcp__nanoclaw__react', { message_id: id, emoji: '👍' })
    .thenCallTool('mcp__nanoclaw__send_message', { text: 'ok' })
    .thenCallTool('mcp__nanoclaw__send_message', { text: '/approve 1' })
    .thenReply('I tried.');
  await says('answer it yourself');
  await hears('I tried');
  await server.say(alice.number, { kind: 'reaction', messageId: id, emoji: '👍', ofBot: true });
  await server.waitState({ maxWaiting: 0 });
  expect(names()).toEqual([{ name: 'family' }]);
  await reacts(id, '✅');
  await hears('Registered');
  expect(names()).toEqual([{ name: 'Own' }]);
  expect(host.rows('SELECT state FROM approvals')).toEqual([{ state: 'approved' }]);
});
