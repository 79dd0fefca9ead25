import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { App } from '../support/app.ts';
import { listeningAddresses } from '../support/listening.ts';

describe('the owner', () => {
  test('stops the agent in mid-tool, within a second, and goes on with it', async () => {
    const app = await App.start();
    app.model.on('endless').callTool('Bash', { command: 'touch begun; perl -e "sleep 600"' });
    app.model.on('next').reply('on we go');
    const person = await app.attach();
    await person.say('endless');
    await person.until(
      () => person.heard.find((line) => line.kind === 'activity' && line.text?.includes('touch')),
      'the tool to run',
    );
    const beganMs = Date.now();
    await person.say('/stop');
    expect(await person.nextText()).toBe('Stopped.');
    expect(await person.settled()).toBe('settled');
    expect(Date.now() - beganMs).toBeLessThan(1000);
    expect(app.rows('SELECT state FROM turns')).toEqual([{ state: 'stopped' }]);
    await person.say('next');
    expect(await person.nextText()).toBe('on we go');
    expect((await app.model.call('next')).said).not.toContain('endless');
  });

  test('is answered by the host while the model hangs and the queue is full', async () => {
    const app = await App.start({ limits: { containersMax: 1 } });
    app.model.on('hello').hang();
    const owner = await app.attach();
    await owner.say('hello');
    await app.model.call('hello');
    const maria = await app.attach('family', 'Maria');
    await maria.say('@Andy hello too');
    await maria.say('/status');
    expect(await maria.nextText()).toMatch(
      /^Here: waiting\.\nEverywhere: 1 working, 0 warm, 1 waiting\.$/,
    );
    await maria.say('@Andy /stop');
    expect(await maria.nextText()).toBe('Stopped.');
    expect(await maria.settled()).toBe('settled');
    await owner.say('/help');
    expect(await owner.nextText()).toContain('/stop: ');
    // Only the owner sees the details of the host.
    await owner.say('/status');
    expect(await owner.nextText()).toContain(`state     ${app.config.homeDir}`);
  });

  test('is told that there is nothing to stop', async () => {
    const app = await App.start();
    const person = await app.attach();
    await person.say('/stop');
    expect(await person.nextText()).toBe('There is nothing to stop.');
  });

  test('can stop the wait for the next attempt', async () => {
    const app = await App.start({ limits: { retryDelaysMs: [600_000], attemptsBeforeNotice: 1 } });
    app.model.on('hello').html();
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toMatch(/not available/);
    await person.say('/stop');
    expect(await person.nextText()).toBe('Stopped.');
    expect(await person.settled()).toBe('settled');
  });

  test('gets a fresh conversation that keeps the notes', async () => {
    const app = await App.start();
    app.model.on('one').callTool('Bash', { command: 'echo fact >> NOTES.md' }).thenReply('zebra');
    app.model
      .on('two')
      .reply((_, call) => (JSON.stringify(call.body).includes('zebra') ? 'old' : 'fresh'));
    const person = await app.attach();
    await person.say('one');
    await person.next();
    await person.settled();
    await person.say('/new');
    expect(await person.nextText()).toMatch(/fresh conversation/);
    await person.say('two');
    expect(await person.nextText()).toBe('fresh');
    expect(existsSync(app.inGroup('main', 'NOTES.md'))).toBe(true);
  });

  test('reaches the agent with any other text that begins with a slash', async () => {
    const app = await App.start();
    app.model.on('/compact').reply('just words');
    const person = await app.attach();
    await person.say('/compact');
    expect(await person.nextText()).toBe('just words');
  });
});

describe('the host', () => {
  test('ends the container that has been idle longest when another group waits', async () => {
    const app = await App.start({ limits: { containersMax: 2 } });
    app.model.otherwise('yes');
    const talk = async (group: string) => {
      const person = await app.attach(group, 'Jo');
      await person.say('@Andy there?');
      expect(await person.nextText()).toBe('yes');
      expect(await person.settled()).toBe('settled');
    };
    for (const group of ['one', 'two', 'three']) await talk(group);
    expect(app.rows("SELECT agent_id FROM runs WHERE reason = 'evicted'")).toEqual([
      { agent_id: 'one' },
    ]);
  });

  test('ends a container at its idle timeout', async () => {
    const app = await App.start({ limits: { idleTimeoutMs: 50 } });
    app.model.otherwise('yes');
    const person = await app.attach();
    await person.say('there?');
    await person.next();
    await person.settled();
    await expect
      .poll(() => app.rows("SELECT reason FROM runs WHERE reason = 'idle'"))
      .toHaveLength(1);
    await person.say('still there?');
    expect(await person.nextText()).toBe('yes');
  });

  test('keeps an undelivered answer until somebody attaches', async () => {
    const app = await App.start();
    app.model.on('hello').reply('you were gone');
    const person = await app.attach();
    await person.say('hello');
    person.leave();
    const call = await app.model.call('hello');
    expect(call.said).toContain('hello');
    await expect.poll(() => app.rows("SELECT 1 FROM turns WHERE state = 'done'")).toHaveLength(1);
    const back = await app.attach();
    expect(await back.nextText()).toBe('you were gone');
  });

  test('refuses to start twice on the same state and tells how to attach', async () => {
    const app = await App.start();
    await expect(app.start()).rejects.toThrow(/already runs.*npm run chat/);
  });

  test('takes over the socket of a host that died', async () => {
    const app = await App.start();
    await app.stop();
    // A socket file without a listener, as kill -9 leaves it.
    spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(app.config.socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    expect(existsSync(app.config.socketPath)).toBe(true);
    await app.start();
    app.model.on('hello').reply('hi');
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toBe('hi');
  });

  test('has no listening TCP port during a conversation', async () => {
    const app = await App.start();
    app.model.on('hello').hang();
    const before = listeningAddresses(); // The host runs in this process.
    const person = await app.attach();
    await person.say('hello');
    await app.model.call('hello');
    expect(listeningAddresses().filter((address) => !before.includes(address))).toEqual([]);
  });
});
