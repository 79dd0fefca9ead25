import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { HostProcess } from '../support/host-process.ts';
import { alice, family, LinkedHost, owner } from '../support/linked-host.ts';

const picture = Buffer.from('a picture that expires').toString('base64');

async function status(host: LinkedHost): Promise<string> {
  const terminal = await host.attach();
  await terminal.say('/status');
  const isStatus = ({ text }: { text: string }) => text.startsWith('Here:');
  const answer = await terminal.until(() => terminal.delivered.find(isStatus), 'the status');
  terminal.leave();
  return answer.text;
}

describe('a broken connection recovers by itself', () => {
  test.each([408, 428, 500, 503, 515] as const)('after the stream error %i', async (code) => {
    const host = await LinkedHost.start();
    const { logins } = await host.server.do('state', {});
    await host.server.do('endStream', { code });
    await host.server.waitState({ isReady: true, minLogins: logins + 1 });
    await host.talks('hello');
  });

  test('after the network is cut, and answers what arrived meanwhile in order, in one turn', async () => {
    const host = await LinkedHost.start({ withClock: true });
    host.model.on('third').reply((_, call) => `heard ${call.said.match(/first|second|third/g)}`);
    await host.server.faults({ refusesConnections: true });
    await host.server.do('drop', {});
    for (const words of ['first', 'second', 'third']) await host.server.say(owner.number, words);
    const waits = (attempts: number) =>
      host.logs('whatsapp', ({ state }) =>
        JSON.stringify(state).includes(`"attempts":${attempts}`),
      );
    for (const attempts of [1, 2]) {
      await waits(attempts);
      host.passes(attempts * 1000);
    }
    await waits(3);
    await host.server.faults({ refusesConnections: false });
    host.passes(4000);
    const { text } = await host.server.hears(owner.number);
    expect(text).toBe('heard first,second,third');
    expect(host.rows('SELECT count(*) AS n FROM turns')).toEqual([{ n: 1 }]);
  });

  test('after a server that stalls', async () => {
    const host = await LinkedHost.start({ withClock: true });
    const { logins } = await host.server.do('state', {});
    await host.server.do('stall', {});
    await host.server.say(owner.number, 'are you there?');
    host.model.on('are you there').reply('Yes.');
    await host.server.waitState({ minLogins: logins + 1 });
    await host.server.hears(owner.number, { text: 'Yes' });
  });

  test('and delivers once what the agent said meanwhile', async () => {
    const host = await LinkedHost.start();
    host.model.on('slow').reply('here it is', { delayMs: 1500 });
    await host.server.say(owner.number, 'slow');
    await host.model.call('slow');
    await host.server.faults({ refusesConnections: true });
    await host.server.do('drop', {});
    await host.logs('turn-done');
    await host.server.faults({ refusesConnections: false });
    const { deliveries } = await host.server.hears(owner.number, { text: 'here it is' });
    expect(deliveries).toBe(1);
  });
});

describe('where reconnecting would do harm, the host keeps running, reports it, and loses nothing', () => {
  test('when another program takes the session', async () => {
    const host = await LinkedHost.start();
    const { attempts } = await host.server.do('state', {});
    await host.server.do('endStream', { code: 440 });
    await host.process.says(/not connected \(replaced\).*start me again/);
    expect(await status(host)).toMatch(/whatsapp \(not connected: replaced/);
    await waitsAndIsMended(host, attempts, async () => {});
  });

  test('when the phone removes the device, until unlink and link repair it', async () => {
    const host = await LinkedHost.start();
    const { attempts } = await host.server.do('state', {});
    await host.server.do('unlinkFromPhone', {});
    await host.process.says(/not connected \(logged out\).*npm run unlink/);
    expect(await status(host)).toMatch(/whatsapp \(not connected: logged out/);
    await waitsAndIsMended(host, attempts, async () => {
      const unlink = host.command('unlink');
      await unlink.exited;
      expect(unlink.output).toMatch(/Unlinked/);
      await host.linkByCode();
    });
    await host.server.hears(owner.number, { text: 'I may have missed messages' });
  });

  test('when WhatsApp restricts the account', async () => {
    const host = await LinkedHost.start();
    await host.server.faults({ loginFailure: 403 });
    await host.server.do('drop', {});
    await host.process.says(/not connected \(forbidden\).*look at the phone/);
    const { attempts } = await host.server.do('state', {});
    await waitsAndIsMended(host, attempts, () => host.server.faults({ loginFailure: null }));
  });

  test('when WhatsApp refuses this version: it waits an hour and says what to do', async () => {
    const host = await LinkedHost.start();
    await host.server.faults({ loginFailure: 405 });
    await host.server.do('drop', {});
    await host.logs('whatsapp', ({ state }) => JSON.stringify(state).includes('update me'));
    expect(await status(host)).toMatch(
      /this version is refused: update me; attempt \d in 3\d\d\d s/,
    );
    const { attempts } = await host.server.do('state', {});
    await waitsAndIsMended(host, attempts, () => host.server.faults({ loginFailure: null }));
  });

  /** Shows that an answer on the terminal still reaches the phone after the repair. */
  async function waitsAndIsMended(host: LinkedHost, attempts: number, mend: () => Promise<void>) {
    host.model.on('meanwhile').reply('said meanwhile');
    const terminal = await host.attach();
    await terminal.say('meanwhile');
    expect(
      await terminal.until(
        () => terminal.delivered.find(({ text }) => text === 'said meanwhile'),
        'the answer',
      ),
    ).toBeTruthy();
    expect(host.process.isAlive).toBe(true);
    expect((await host.server.do('state', {})).attempts - attempts).toBeLessThanOrEqual(1);
    terminal.leave();
    await host.stop();
    await mend();
    await host.run();
    await host.server.hears(owner.number, { text: 'said meanwhile' });
    await host.talks('all is well');
  }
});

test('piped input is answered and the command ends while WhatsApp is unreachable', async () => {
  const host = await LinkedHost.start();
  await host.stop();
  await host.server.faults({ refusesConnections: true });
  host.model.on('hello').reply('hello to you');
  const piped = new HostProcess(host.environment, { input: '/status\nhello\n' });
  await piped.exited;
  expect(piped.child.exitCode).toBe(0);
  expect(piped.output).toMatch(/whatsapp \((connecting|not connected: .*)\).*hello to you/s);
  await host.server.faults({ refusesConnections: false });
  await host.run();
  await host.server.hears(owner.number, { text: 'hello to you' });
});

describe('a message', () => {
  test('that WhatsApp refuses is not repeated, and the owner is told', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    host.model.on('in the group').reply('refused words');
    await host.server.faults({ rejections: [463] });
    await host.server.sayInGroup(alice.number, family, '@Andy in the group');
    const told = await host.server.hears(owner.number, { text: 'was refused' });
    expect(told.text).toMatch(/A message to whatsapp:.*@g.us was refused: .*error 463/);
    const heard = await host.server.do('heard', { by: alice.number });
    expect(heard.filter(({ text }) => text.includes('refused words'))).toEqual([]);
    await host.talks('and now?');
  });

  test('that arrives twice is answered once', async () => {
    const host = await LinkedHost.start();
    await host.server.faults({ duplicates: 1 });
    await host.talks('only once');
    await host.talks('next');
    expect(host.rows('SELECT text FROM messages ORDER BY seq')).toEqual([
      { text: 'only once' },
      { text: 'next' },
    ]);
  });

  test('that cannot be decrypted is requested again', async () => {
    const host = await LinkedHost.start();
    await host.talks('hello');
    host.model.on('garbled').reply('understood');
    const content = { kind: 'text', text: 'garbled' } as const;
    await host.server.do('send', { by: owner.number, content, isCorrupt: true });
    await host.server.hears(owner.number, { text: 'understood' });
  });

  test('whose acknowledgement is lost is sent again under the same id', async () => {
    const host = await LinkedHost.start({ withClock: true });
    host.model.on('swallow').reply('once for the reader');
    await host.server.faults({ swallowedAcks: 1 });
    const id = await host.server.say(owner.number, 'swallow');
    expect(id).toBeTruthy();
    await host.server.hears(owner.number, { text: 'once for the reader' });
    host.passes(20_000);
    await host.logs('delivery-recorded');
    const heard = await host.server.do('heard', { by: owner.number });
    expect(heard.filter(({ text }) => text.includes('once for the reader'))).toHaveLength(1);
    expect(heard.at(-1)?.deliveries).toBe(2);
  });

  test('is answered when the server’s clock is two days off', async () => {
    const host = await LinkedHost.start();
    await host.server.faults({ clockSkewSeconds: -2 * 24 * 3600 });
    await host.talks('what time is it');
  });

  test('that waited at the server for more than half a day becomes context, and the owner is told', async () => {
    const host = await LinkedHost.start();
    await host.stop();
    await host.server.faults({ clockSkewSeconds: -13 * 3600 });
    await host.server.say(owner.number, 'last night');
    await host.server.faults({ clockSkewSeconds: 0 });
    await host.run();
    await host.server.hears(owner.number, { text: 'came more than 12 hours late' });
    host.model.on('this morning').reply((_, call) => String(call.said.includes('last night')));
    await host.server.say(owner.number, 'this morning');
    await host.server.hears(owner.number, { text: '^true$' });
  });
});

describe('while the disk is full, a message stays at the server', () => {
  async function staysThere(host: LinkedHost) {
    host.onWhatsAppStore(
      `CREATE TRIGGER full BEFORE INSERT ON inbox BEGIN SELECT RAISE(ABORT, 'disk full'); END`,
    );
    const { attempts } = await host.server.do('state', {});
    host.model.on('kept').reply('kept indeed');
    await host.server.say(owner.number, 'kept?');
    await host.server.waitState({ minAttempts: attempts + 2 });
    host.onWhatsAppStore('DROP TRIGGER full');
  }

  test('and is answered afterwards', async () => {
    const host = await LinkedHost.start();
    await host.talks('hello');
    await staysThere(host);
    await host.server.hears(owner.number, { text: 'kept indeed' });
  });

  test('and is not delayed by an answer that was being sent when the connection ended', async () => {
    const host = await LinkedHost.start();
    await host.server.faults({ mutedQueries: ['usync'] });
    host.model.on('hello').reply('hello to you');
    await host.server.say(owner.number, 'hello');
    await host.server.waitState({ minUnanswered: 1 });
    await host.server.faults({ mutedQueries: [] });
    await staysThere(host);
    await host.server.hears(owner.number, { text: 'kept indeed' });
    const heard = await host.server.do('heard', { by: owner.number });
    expect(heard.map(({ text }) => text)).toEqual(['hello to you', 'kept indeed']);
  });
});

describe('a file', () => {
  test('that has expired is uploaded again by the phone', async () => {
    const host = await LinkedHost.start();
    host.model
      .on('picture')
      .callTool('Bash', { command: 'cat media/*' })
      .thenReply((result) => result);
    await host.stop();
    const content = { kind: 'image', base64: picture, caption: 'a picture' } as const;
    const messageId = await host.server.say(owner.number, content);
    await host.server.do('expireMedia', { messageId });
    await host.run();
    await host.server.hears(owner.number, { text: 'a picture that expires' });
  });

  test('whose download breaks off is named as missing, and the rest is answered', async () => {
    const host = await LinkedHost.start();
    host.model.on('broken').reply((_, call) => call.said);
    await host.server.faults({ mediaAnswers: ['truncate'] });
    await host.server.say(owner.number, {
      kind: 'document',
      base64: picture,
      name: 'x.txt',
      caption: 'broken',
    });
    const { text } = await host.server.hears(owner.number);
    expect(text).toMatch(/\[document x.txt is missing: .*\]/);
    await host.talks('go on');
  });
});

test('no key of the linked device stands in any log or output', async () => {
  const host = await LinkedHost.start({ withGroup: true });
  await host.talks('hello');
  await host.server.faults({ duplicates: 2 });
  await host.server.sayInGroup(alice.number, family, 'hello all');
  const content = { kind: 'text', text: 'garbled' } as const;
  await host.server.do('send', { by: owner.number, content, isCorrupt: true });
  await host.talks('go on');
  await host.stop();
  const dir = join(host.home, 'data', 'logs');
  const logs = readdirSync(dir).map((name) => readFileSync(join(dir, name), 'utf8'));
  const said = [host.process.output, ...logs].join('\n');
  const secrets = host.secrets();
  expect(secrets.length).toBeGreaterThan(100);
  for (const secret of secrets)
    for (const form of [secret.toString('base64'), secret.toString('hex'), [...secret].join(',')])
      expect(said.includes(form)).toBe(false);
});
