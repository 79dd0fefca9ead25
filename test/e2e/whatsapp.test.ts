/**
 * The product on WhatsApp as people use it: direct chat, shared number, group. Linking is in
 * linking.test.ts.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { alice, assistant, bob, family, LinkedHost, owner } from '../support/linked-host.ts';
import type { Content } from '../whatsapp-server/contents.ts';

const pixel = readFileSync(join(import.meta.dirname, '../fixtures/pixel.png')).toString('base64');
const bytes = (text: string) => Buffer.from(text).toString('base64');

describe('in the direct chat', () => {
  test('text is answered in WhatsApp’s formatting, with typing and a read receipt', async () => {
    const host = await LinkedHost.start();
    host.model.on('hello').reply('**Hello** to you.\n\n- one\n- two', { delayMs: 300 });
    const id = await host.server.say(owner.number, 'hello');
    const heard = await host.server.hears(owner.number);
    expect(heard).toMatchObject({ text: '*Hello* to you.\n\n- one\n- two', quotedId: null });
    const seen = await host.server.do('seen', { by: owner.number });
    expect(seen.presences[0]).toMatchObject({ state: 'composing' });
    expect(seen.receipts).toContainEqual({ id, type: 'read' });
  });

  test('the host’s commands work from the phone, and stop an agent that loops', async () => {
    const host = await LinkedHost.start();
    host.model.on('loop').callTool('Bash', { command: 'while :; do :; done' });
    await host.server.say(owner.number, 'loop');
    await host.model.call('loop');
    await host.server.say(owner.number, '/status');
    const { text } = await host.server.hears(owner.number, { text: '^Here: working' });
    expect(text).toMatch(/whatsapp \(connected\)/);
    await host.server.say(owner.number, '/stop');
    await host.server.hears(owner.number, { text: '^Stopped' });
  });

  test('typing is shown again as long as the agent works, and ends with the answer', async () => {
    const host = await LinkedHost.start();
    host.model.on('long').reply('done', { delayMs: 9000 });
    await host.server.say(owner.number, 'long');
    await host.server.hears(owner.number, { text: 'done' });
    await host.logs('turn-done');
    await host.server.waitState({ maxWaiting: 0 });
    const { presences } = await host.server.do('seen', { by: owner.number });
    const states = presences.map(({ state }) => state);
    expect(states.filter((state) => state === 'composing').length).toBeGreaterThan(1);
    expect(states.at(-1)).toBe('paused');
  });

  test('goes on after a restart without a new link, and answers what arrived meanwhile', async () => {
    const host = await LinkedHost.start();
    await host.stop();
    host.model.on('still there').reply('Of course.');
    await host.server.say(owner.number, 'still there?');
    await host.run();
    await host.server.hears(owner.number, { text: 'Of course' });
  });

  test('an image reaches the model, and a file and an image come back', async () => {
    const host = await LinkedHost.start();
    host.model
      .on('what is this')
      .callTool('Bash', { command: 'cp media/* picture.png; echo report > report.txt' })
      .thenCallTool('mcp__nanoclaw__send_file', { path: 'picture.png', caption: 'the **same**' })
      .thenCallTool('mcp__nanoclaw__send_file', { path: 'report.txt' })
      .thenReply('A pixel.');
    const caption = 'what is this?';
    await host.server.say(owner.number, {
      kind: 'image',
      base64: pixel,
      mime: 'image/png',
      caption,
    });
    const call = await host.model.call('what is this');
    expect(JSON.stringify(call.body)).toContain(pixel);
    const image = await host.server.hears(owner.number, { kind: 'image' });
    expect(image).toMatchObject({ text: 'the *same*', file: { mime: 'image/png', base64: pixel } });
    const report = await host.server.hears(owner.number, { kind: 'document' });
    expect(report.file).toMatchObject({ name: 'report.txt', base64: bytes('report\n') });
    await host.server.hears(owner.number, { text: 'A pixel' });
  });

  test('voice notes and documents are saved and named', async () => {
    const host = await LinkedHost.start();
    host.model
      .on('voice note')
      .callTool('Bash', { command: 'cat media/*' })
      .thenReply((result) => `I hear ${result}`);
    await host.server.say(owner.number, { kind: 'voice', base64: bytes('OggS la la') });
    await host.server.hears(owner.number, { text: 'I hear OggS la la' });
    host.model.on(/plan\.pdf/).reply((_, call) => call.lastUserText);
    await host.server.say(owner.number, {
      kind: 'document',
      base64: bytes('%PDF'),
      name: 'plan.pdf',
      caption: 'see plan.pdf',
    });
    const { text } = await host.server.hears(owner.number, { text: 'see plan' });
    expect(text).toMatch(/kind="document".*name="plan.pdf" mime="application\/pdf" bytes="4"/);
  });

  test('locations, contacts, polls and unknown contents are described in words', async () => {
    const host = await LinkedHost.start();
    host.model.otherwise('noted');
    const contents: Content[] = [
      { kind: 'location', latitude: 52.5, longitude: 13.4, name: 'Berlin' },
      { kind: 'contact', name: 'Maria', number: '+49170' },
      { kind: 'poll', question: 'Pizza?', options: ['yes', 'no'] },
      { kind: 'unknown' },
    ];
    for (const content of contents) await host.server.say(owner.number, content);
    await host.server.do('send', {
      by: owner.number,
      content: { kind: 'text', text: 'once only' },
      wrap: 'view-once',
    });
    await host.model.call('once only');
    const heard = host.model.calls.map(({ said }) => said).join();
    for (const sign of [
      'Berlin, 52.5,13.4',
      'Maria, +49170',
      'poll: Pizza?',
      'of a kind that I cannot read',
    ])
      expect(heard).toContain(sign);
  });

  test('an edit after the turn is passed on to the agent, and a deletion removes the message', async () => {
    const host = await LinkedHost.start();
    host.model.on('slow').reply('done with slow', { delayMs: 1500 });
    host.model.on('five').reply('Five, then.');
    await host.server.say(owner.number, 'slow one');
    await host.model.call('slow');
    await host.server.hears(owner.number, { text: 'done with slow' });
    const id = await host.server.say(owner.number, 'say four');
    await host.model.call('say four');
    await host.server.say(owner.number, { kind: 'edit', messageId: id, text: 'say five' });
    await host.server.hears(owner.number, { text: 'Five, then' });
    const call = await host.model.call('say five');
    expect(call.lastUserText).toMatch(/say four<\/quote>\s*\[edited\] say five/);
    await host.server.say(owner.number, { kind: 'deletion', messageId: id });
    await host.server.say(owner.number, 'slow two');
    await host.server.hears(owner.number, { text: 'done with slow', skip: 1 });
    expect(JSON.stringify(host.rows('SELECT text FROM messages'))).not.toContain('say four"');
  });

  test('the agent reacts to a message, and sees reactions without being woken', async () => {
    const host = await LinkedHost.start();
    host.model
      .on('like this')
      .answer((call) => {
        const [, message_id = ''] = /<message id="([^"]+)"/.exec(call.said) ?? [];
        const input = { message_id, emoji: '🎉' };
        const name = 'mcp__nanoclaw__react';
        return [{ type: 'tool_use', id: 'toolu_1', name, input }];
      })
      .thenReply('liked');
    const id = await host.server.say(owner.number, 'like this');
    const { reaction } = await host.server.hears(owner.number, { kind: 'reaction' });
    expect(reaction).toEqual({ messageId: id, emoji: '🎉' });
    const liked = await host.server.hears(owner.number, { text: 'liked' });
    const content = { kind: 'reaction', messageId: liked.id, emoji: '❤', ofBot: true } as const;
    await host.server.say(owner.number, content);
    host.model.on('what do I think').reply((_, call) => call.lastUserText);
    await host.server.say(owner.number, 'what do I think?');
    const { text } = await host.server.hears(owner.number, { text: 'what do I think' });
    expect(text).toMatch(/reacted ❤/);
  });

  test('the terminal opens the same chat and shows the answers', async () => {
    const host = await LinkedHost.start();
    const terminal = await host.attach();
    host.model.on('from here').reply('Seen in both.');
    await terminal.say('from here');
    expect(await terminal.nextText()).toBe('Seen in both.');
    await host.server.hears(owner.number, { text: 'Seen in both' });
  });
});

describe('on a shared number', () => {
  test('the chat with oneself is the main one, and the assistant signs its messages', async () => {
    const host = await LinkedHost.start({ mode: 'shared' });
    host.model.on('note to self').reply('Noted.');
    const own = `${assistant.lid}@lid`;
    await host.server.do('sendFromPhone', {
      content: { kind: 'text', text: 'note to self' },
      to: own,
    });
    await host.server.hears(assistant.number, { text: '^\\*Andy:\\* Noted' });
    // Its own messages do not wake it, whatever they say.
    host.model.on('echo').reply('note to self');
    await host.server.do('sendFromPhone', { content: { kind: 'text', text: 'echo' }, to: own });
    await host.server.hears(assistant.number, { text: 'note to self' });
    expect(host.rows('SELECT text FROM messages')).toEqual([
      { text: 'note to self' },
      { text: 'echo' },
    ]);
  });
});

describe('in a group', () => {
  test('the assistant answers whoever calls it, quotes them and knows what was said before', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    host.model
      .on('who brings')
      .reply((_, call) => (call.lastUserText.includes('I bring salad') ? 'Alice: salad.' : '?'));
    await host.server.sayInGroup(alice.number, family, 'I bring salad');
    const id = await host.server.sayInGroup(owner.number, family, '@Andy who brings what?');
    const heard = await host.server.hears(alice.number, { group: family });
    expect(heard).toMatchObject({ text: 'Alice: salad.', quotedId: id });
  });

  test('a mention of either of its identities, or a reply to its message, calls it', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    host.model.on('first').reply('one');
    host.model.on('second').reply('two');
    host.model.on('third').reply('three');
    await host.server.sayInGroup(alice.number, family, {
      kind: 'text',
      text: `@${assistant.lid} first`,
      mentions: [`${assistant.lid}@lid`],
    });
    const one = await host.server.hears(alice.number, { text: '^one' });
    await host.server.sayInGroup(bob.number, family, {
      kind: 'text',
      text: `@${assistant.number} second`,
      mentions: [`${assistant.number}@s.whatsapp.net`],
    });
    await host.server.hears(bob.number, { text: '^two' });
    const quote = { messageId: one.id, participant: `${assistant.lid}@lid`, text: 'one' };
    await host.server.sayInGroup(bob.number, family, { kind: 'text', text: 'third', quote });
    await host.server.hears(bob.number, { text: '^three' });
  });

  test('it can mention a member, who is one person under both number and LID', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    host.model.on('call Bob').reply((_, call) => {
      const [, account] = /sender="Bob" account="whatsapp:(\d+)@/.exec(call.lastUserText) ?? [];
      return `@${account} you are called`;
    });
    await host.server.sayInGroup(bob.number, family, 'here I am');
    await host.server.sayInGroup(alice.number, family, '@Andy call Bob');
    const heard = await host.server.hears(bob.number, { text: 'you are called' });
    expect(heard.mentions).toEqual([`${bob.lid}@lid`]);
    expect(heard.text).toContain(`@${bob.lid}`);
  });

  test('that is not registered, only the name is kept, and no group can register itself', async () => {
    const host = await LinkedHost.start();
    await host.server.sayInGroup(alice.number, family, 'our secret @Andy');
    await host.server.waitState({ maxWaiting: 0 });
    host.model
      .on('which chats')
      .callTool('mcp__nanoclaw__list_groups', {})
      .thenReply((r) => r);
    await host.server.say(owner.number, 'which chats?');
    const { text } = await host.server.hears(owner.number);
    expect(text).toMatch(/"chat_id":"whatsapp:120363000000000001@g.us","name":"Family"/);
    for (const name of ['nanoclaw.db', 'nanoclaw.db-wal', 'whatsapp.db', 'whatsapp.db-wal']) {
      const path = `${host.home}/store/${name}`;
      if (existsSync(path)) expect(readFileSync(path).includes('our secret')).toBe(false);
    }
    await host.register();
    host.model
      .on('take over')
      .callTool('mcp__nanoclaw__register_group', { chat_id: `whatsapp:${family}`, name: 'x' })
      .thenReply((result) => result);
    await host.server.sayInGroup(alice.number, family, '@Andy take over');
    const refusal = await host.server.hears(alice.number, { group: family });
    // It is not even shown the tool; what a forged request is told, features/groups/groups.test.ts shows.
    expect(refusal.text).toMatch(/No such tool available/);
  });

  test('only those on the list may call it, whatever name they take', async () => {
    const host = await LinkedHost.start();
    await host.server.sayInGroup(bob.number, family, 'hello');
    await host.register({ triggered_by: [`whatsapp:${owner.number}@s.whatsapp.net`] });
    host.model.on('please').reply('At your service.');
    await host.server.sayInGroup(alice.number, family, '@Andy please, says Alice');
    await host.server.waitState({ maxWaiting: 0 });
    await host.server.sayInGroup(owner.number, family, '@Andy please, says Olivia');
    await host.server.hears(owner.number, { group: family, text: 'At your service' });
    const calls = host.model.calls.filter(({ said }) => said.includes('please, says'));
    expect(calls).toHaveLength(1);
    expect(calls[0]?.said).toContain('says Alice');
  });
});
