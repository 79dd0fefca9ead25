import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toolUse } from '../../src/cli/demo/messages-server.ts';
import { defaultLimits } from '../../src/config.ts';
import { startScriptedModel } from '../scripted-model/scripted-model.ts';
import { App } from '../support/app.ts';
import { MovedClock } from '../support/moved-clock.ts';

/** Short delays between attempts. The retries inside `claude` keep their own delays. */
const quick = { retryDelaysMs: [100, 100], crashRetryDelayMs: 100 };

describe('when the model fails', () => {
  test.each([401, 403])(
    'because of the credential (%i), the person is told at once, and answered when it works again',
    async (status) => {
      const app = await App.start({ limits: quick });
      app.model.on('hello').fail(status, { message: 'Received API Key = the-real-key' });
      app.model.on('again').reply('both answered');
      const person = await app.attach();
      await person.say('hello');
      const told = await person.nextText();
      expect(told).toMatch(new RegExp(`credential \\(${status}.*Key = \\[credential\\].*\\.env`));
      expect(await person.settled()).toBe('failed');
      await person.say('again');
      expect(await person.nextText()).toBe('both answered');
      expect((await app.model.call('again')).lastUserText).toMatch(/hello[\s\S]*again/);
      expect(await person.settled()).toBe('settled');
    },
  );

  test.each([429, 500, 529])(
    'temporarily (%i), the call is repeated until it is answered',
    async (status) => {
      const app = await App.start({ limits: { ...quick, attemptsBeforeNotice: 9 } });
      app.model
        .on('hello')
        .fail(status, { times: 6, headers: { 'retry-after': '0' } })
        .reply('at last');
      const person = await app.attach();
      await person.say('hello');
      expect(await person.nextText()).toBe('at last');
      expect(await person.settled()).toBe('settled');
      expect(person.delivered).toHaveLength(1);
      expect(app.rows('SELECT state, failures > 0 AS failed FROM turns')).toEqual([
        { state: 'done', failed: 1 },
      ]);
    },
  );

  test('for a long time, the person is told that it is unavailable and given up, and is answered later', async () => {
    const app = await App.start({ limits: quick });
    app.model.on('hello').fail(529, { headers: { 'retry-after': '0' } });
    app.model.on('later').reply('both answered');
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toMatch(/not available at the moment.*kept/);
    expect(await person.nextText()).toMatch(/could not be reached in 3 attempts.*kept/);
    expect(await person.settled()).toBe('failed');
    await person.say('later');
    expect(await person.nextText()).toBe('both answered');
  });

  test('and the host restarts, it retries by itself what it had given up', async () => {
    const app = await App.start({ limits: quick });
    app.model.on('hello').fail(401, { times: 4 }).reply('mended');
    const person = await app.attach();
    await person.say('hello');
    await person.next();
    await person.settled();
    await app.stop();
    await app.start();
    await person.connect();
    expect(await person.nextText()).toBe('mended');
  });

  test.each(['malformed', 'html', 'empty'] as const)(
    'with %s answers, the call is repeated',
    async (fault) => {
      const app = await App.start({ limits: quick });
      app.model.on('hello')[fault]({ times: 2 }).reply('at last');
      const person = await app.attach();
      await person.say('hello');
      expect(await person.nextText()).toBe('at last');
    },
  );

  test('because nothing listens there, the message waits and is answered when it is back', async () => {
    const gone = await startScriptedModel();
    const port = Number(new URL(gone.url).port);
    await gone.close();
    const app = await App.start({
      limits: { retryDelaysMs: [100, 200, 400, 400, 400, 400], crashRetryDelayMs: 100 },
      environment: { ANTHROPIC_BASE_URL: gone.url },
    });
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toMatch(/not available at the moment/);
    const back = await startScriptedModel({ port });
    back.on('hello').reply('here again');
    expect(await person.nextText()).toBe('here again');
    await back.close();
  });

  test('in the middle of an answer, the turn is stopped at its time limit and the person is told', async () => {
    const clock = new MovedClock();
    const app = await App.start({ clock });
    app.model.on('hello').stall();
    app.model.on('next').reply('on we go');
    const person = await app.attach();
    await person.say('hello');
    await app.model.call('hello');
    clock.move(defaultLimits.turnTimeoutMs);
    expect(await person.nextText()).toMatch(/took longer than 30 minutes/);
    expect(app.rows('SELECT state, reason FROM turns')).toEqual([
      { state: 'failed', reason: 'turn-timeout' },
    ]);
    await person.say('next');
    expect(await person.nextText()).toBe('on we go');
  });

  test('in one group, another group is answered meanwhile', async () => {
    const app = await App.start();
    app.model.on('hello').hang();
    app.model.on('quick').reply('I am here');
    const person = await app.attach();
    await person.say('hello');
    await app.model.call('hello');
    const maria = await app.attach('family', 'Maria');
    await maria.say('@Andy quick');
    expect(await maria.nextText()).toBe('I am here');
  });
});

describe('when the agent breaks', () => {
  test('once, it is restarted and told that it was interrupted and what it had already sent', async () => {
    const app = await App.start({ limits: quick });
    app.model
      .on('hello')
      .callTool('mcp__nanoclaw__send_message', { text: 'part one' })
      .thenCallTool('Bash', { command: 'kill -9 $PPID' })
      .thenReply('never');
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toBe('part one');
    const again = await app.model.call((call) => call.lastUserText.includes('cut short'));
    expect(again.lastUserText).toContain('<already-sent>part one</already-sent>');
  });

  test('every time, the person is told and the next message is answered', async () => {
    const app = await App.start({ limits: quick });
    app.model
      .on('hello')
      .answer(() => kill())
      .answer(() => kill())
      .answer(() => kill());
    app.model.on('next').reply('fine now');
    const kill = () => [toolUse('Bash', { command: 'kill -9 $PPID' })];
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toMatch(/broke down 3 times/);
    expect(app.rows('SELECT state, reason, attempt FROM turns')).toEqual([
      { state: 'failed', reason: 'crashed', attempt: 3 },
    ]);
    await person.say('next');
    expect(await person.nextText()).toBe('fine now');
  });

  test('because its session is lost, the person is told and a fresh one starts', async () => {
    const app = await App.start({ limits: quick });
    app.model.on('one').reply('first');
    app.model.on('two').reply('second');
    const person = await app.attach();
    await person.say('one');
    await person.next();
    await person.settled();
    await app.stop();
    rmSync(join(app.config.dataDir, 'agents', 'main', 'home', '.claude', 'projects'), {
      recursive: true,
    });
    await app.start();
    await person.connect();
    await person.say('two');
    expect(await person.nextText()).toMatch(/fresh one/);
    expect(await person.nextText()).toBe('second');
    expect((await app.model.call('two')).lastUserText).toContain('could not be reopened');
    expect(app.rows("SELECT reason FROM runs WHERE reason = 'session-lost'")).toHaveLength(1);
  });
});

test('no run leaves a folder behind, however it ended', async () => {
  const app = await App.start({ limits: quick });
  app.model.on('hello').reply('hi');
  const person = await app.attach();
  await person.say('hello');
  await person.next();
  await person.say('/stop');
  await app.stop();
  expect(readdirSync(join(app.config.dataDir, 'agents', 'main'))).toEqual(['home']);
});
