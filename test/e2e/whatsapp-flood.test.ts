/**
 * The host's own words on WhatsApp while its agents say too much, and what becomes of messages that
 * WhatsApp refuses.
 */
import { describe, expect, test } from 'vitest';
import { toolUse } from '../../src/cli/demo/messages-server.ts';
import { alice, family, LinkedHost, owner } from '../support/linked-host.ts';

const say = (text: string) => toolUse('mcp__nanoclaw__send_message', { text });

/** The agent says this many words in its turn, and then works on for ever. */
function flood(host: LinkedHost, count: number): void {
  const blocks = Array.from({ length: count }, (_, index) => say(`word ${index + 1}.`));
  host.model
    .on('flood')
    .answer(() => blocks)
    .hang();
}

async function heardBy(host: LinkedHost, number: string): Promise<string[]> {
  const heard = await host.server.do('heard', { by: number });
  return heard.map(({ text }) => text);
}

describe('while an agent floods the chat', () => {
  test('/status overtakes it, and /stop withdraws the rest and says how much', async () => {
    const host = await LinkedHost.start();
    flood(host, 150);
    await host.server.say(owner.number, 'flood');
    await host.model.call(({ toolResults }) => toolResults.length === 150);
    await host.server.say(owner.number, '/status');
    await host.server.hears(owner.number, { text: '^Here: working' });
    await host.server.say(owner.number, '/stop');
    const { text } = await host.server.hears(owner.number, { text: '^Stopped' });
    await host.talks('still there?');
    const words = (await heardBy(host, owner.number)).filter((each) => each.startsWith('word'));
    const withdrawn = Number(/(\d+) messages/.exec(text)?.[1]);
    expect(words.length + withdrawn).toBe(150);
    expect(withdrawn).toBeGreaterThan(50);
    expect(words).toEqual(words.map((_, index) => `word ${index + 1}.`));
  });

  test('others are answered', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    flood(host, 150);
    host.model.on('in the group').reply('Hello, Alice.');
    await host.server.say(owner.number, 'flood');
    await host.model.call(({ toolResults }) => toolResults.length === 150);
    await host.server.sayInGroup(alice.number, family, '@Andy in the group');
    await host.server.hears(alice.number, { text: 'Hello, Alice' });
    const words = await heardBy(host, owner.number);
    expect(words.filter((each) => each.startsWith('word')).length).toBeLessThan(140);
    await host.server.say(owner.number, '/stop');
    await host.server.hears(owner.number, { text: '^Stopped' });
  });
});

describe('while a file is on its way up', () => {
  async function uploading(): Promise<LinkedHost> {
    const host = await LinkedHost.start();
    const makes = 'head -c 1000000 /dev/urandom > film.bin';
    host.model
      .on('send it')
      .callTool('Bash', { command: makes })
      .thenCallTool('mcp__nanoclaw__send_file', { path: 'film.bin' })
      .callTool('mcp__nanoclaw__send_message', { text: 'a word behind it' })
      .hang();
    await host.server.faults({ stalledUploads: 1 });
    await host.server.say(owner.number, 'send it');
    await host.server.waitState({ minStalledFiles: 1 });
    return host;
  }

  test('commands are answered, and the texts behind it wait for a bounded time', async () => {
    const host = await uploading();
    await host.server.say(owner.number, '/status');
    await host.server.hears(owner.number, { text: '^Here: working' });
    await host.server.hears(owner.number, { text: 'a word behind it' });
    await host.server.do('resumeMedia', {});
    await host.server.hears(owner.number, { kind: 'document' });
  });

  test('/stop withdraws it', async () => {
    const host = await uploading();
    await host.server.hears(owner.number, { text: 'a word behind it' });
    await host.server.say(owner.number, '/stop');
    await host.server.hears(owner.number, { text: '^Stopped.*is withdrawn' });
    await host.server.do('resumeMedia', {});
    await host.talks('still there?');
    const heard = await host.server.do('heard', { by: owner.number });
    expect(heard.filter(({ kind }) => kind === 'document')).toEqual([]);
  });
});

describe('a message that WhatsApp refuses', () => {
  test('in main is told there with the next that gets through, and to the agent', async () => {
    const host = await LinkedHost.start();
    host.model.on('what is it').reply('refused words');
    host.model.on('and now').reply((_, call) => call.said);
    await host.server.faults({ rejections: [463] });
    await host.server.say(owner.number, 'what is it?');
    await host.logs('the server refused a message');
    await host.server.say(owner.number, 'and now?');
    const answer = await host.server.hears(owner.number, { text: 'and now' });
    expect(answer.text).toMatch(/was not delivered: .*error 463.*It began: refused words/s);
    await host.server.hears(owner.number, {
      text: '^A message of mine did not get through here: .*error 463',
    });
  });

  test('elsewhere is told once, however many there are', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    flood(host, 30);
    await host.server.faults({ rejectedGroup: family });
    await host.server.sayInGroup(alice.number, family, '@Andy flood');
    await host.server.hears(owner.number, { text: 'was refused: .*error 463' });
    await host.logs(
      'the server refused a message',
      () => host.rows("SELECT 1 FROM outbox WHERE state = 'refused'").length === 30,
    );
    await host.server.faults({ rejectedGroup: null });
    await host.server.sayInGroup(alice.number, family, '/stop');
    const there = { text: '30 messages of mine did not get through here', group: family };
    await host.server.hears(alice.number, there);
    await host.talks('anything else?');
    const notices = (await heardBy(host, owner.number)).filter((text) => /was refused/.test(text));
    expect(notices).toHaveLength(1);
  });
});
