/** What never waits: a command behind a file that is on its way, and main behind other groups. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { App } from '../support/app.ts';
import { LinkedHost, owner } from '../support/linked-host.ts';

const picture = Buffer.from('a picture that takes its time').toString('base64');

describe('/stop overtakes a file', () => {
  test('on WhatsApp, and neither the file nor what came with it wakes anybody afterwards', async () => {
    const host = await LinkedHost.start();
    host.model.on('and now').reply((_, call) => call.said);
    await host.server.faults({ mediaAnswers: ['stall'] });
    const photo = { kind: 'image', base64: picture, caption: 'what is this?' } as const;
    const photoId = await host.server.say(owner.number, photo);
    await host.server.waitState({ minStalledFiles: 1 });
    await host.server.say(owner.number, 'tidy up');
    await host.server.say(owner.number, '/stop');
    await host.server.hears(owner.number, { text: '^Stopped' });
    expect(host.rows('SELECT text FROM messages')).toEqual([{ text: '/stop' }]);
    await host.server.do('resumeMedia', {});
    await host.logs('message-stored', ({ id }) => id === photoId);
    await host.server.say(owner.number, 'and now?');
    const { text } = await host.server.hears(owner.number, { text: 'and now' });
    expect(text).toMatch(/what is this\?.*tidy up.*and now\?/s);
    expect(host.rows('SELECT state FROM turns')).toEqual([{ state: 'done' }]);
    expect(host.model.calls.every(({ said }) => said.includes('and now'))).toBe(true);
  });

  test('at the terminal', async () => {
    const app = await App.start();
    app.model.on('and now').reply((_, call) => call.said);
    const path = join(app.config.homeDir, 'film.mp4');
    writeFileSync(path, '');
    truncateSync(path, 60 * 1024 * 1024);
    const person = await app.attach();
    person.tell('what is this?', [path], 'film');
    person.tell('/stop', [], 'stop');
    expect(await person.nextText()).toBe('Stopped.');
    await person.until(() => person.unstored === 0 || undefined, 'the file to be stored');
    const stored = person.heard.flatMap((line) => (line.kind === 'stored' ? [line.id] : []));
    expect(stored).toEqual(['stop', 'film']);
    await person.say('and now?');
    expect(await person.nextText()).toMatch(/film\.mp4.*and now\?/s);
    expect(app.rows('SELECT state FROM turns')).toEqual([{ state: 'done' }]);
  });
});

test('main is answered at once while every slot is at work for other groups', async () => {
  const app = await App.start({ limits: { containersMax: 2 } });
  app.model.on('hang').hang();
  app.model.on('hello').reply('Hello to you.');
  for (const group of ['one', 'two', 'three']) {
    const person = await app.attach(group, 'Jo');
    await person.say(`@Andy hang ${group}`);
    if (group !== 'three') await app.model.call(`hang ${group}`);
  }
  const person = await app.attach();
  await person.say('hello');
  expect(await person.nextText()).toBe('Hello to you.');
  await person.say('/status');
  expect(await person.nextText()).toMatch(/Everywhere: 2 working, \d warm, 1 waiting/);
  expect(app.rows("SELECT 1 FROM turns WHERE agent_id = 'three'")).toEqual([]);
});
