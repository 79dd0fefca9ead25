import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { App } from '../support/app.ts';
import { temporaryFolder } from '../support/store.ts';

test('an agent sees the folders that the owner lends it, and a missing one is reported', async () => {
  const owner = temporaryFolder();
  const app = await App.start({ environment: { XDG_CONFIG_HOME: join(owner, 'config') } });
  for (const name of ['photos', 'work']) mkdirSync(join(owner, name));
  writeFileSync(join(owner, 'photos/cat.txt'), 'a cat');
  // Under root the agent has a uid of its own, so it can write only what anybody can.
  chmodSync(join(owner, 'work'), 0o777);
  mkdirSync(dirname(app.config.allowlistPath), { recursive: true });
  const allowlist = { roots: [{ path: owner, write: true }] };
  writeFileSync(app.config.allowlistPath, JSON.stringify(allowlist), { mode: 0o600 });
  const person = await app.attach();
  for (const [words, answer] of [
    [`/mount main ${join(owner, 'photos')}`, 'main may read '],
    [`/mount main ${join(owner, 'work')} rw`, 'main may read and write '],
    [`/mount main ${join(owner, 'config')}`, 'cannot be lent'],
    ['/mount', '/workspace/extra/work'],
  ] as const) {
    await person.say(words);
    expect(await person.nextText()).toContain(answer);
  }

  const look =
    'cd /workspace/extra; ls; cat photos/cat.txt; echo; echo new > work/new; echo x > photos/x || echo kept; echo x > x || echo sealed';
  app.model
    .on('look around')
    .callTool('Bash', { command: look })
    .thenReply((result) => result);
  await person.say('look around');
  expect(await person.nextText()).toMatch(/photos\nwork\na cat\n.*kept\n.*sealed/s);
  expect(readFileSync(join(owner, 'work/new'), 'utf8')).toBe('new\n');

  app.model
    .on('look again')
    .callTool('Bash', { command: 'ls /workspace/extra' })
    .thenReply((result) => result);
  await person.say('/unmount main photos');
  expect(await person.nextText()).toBe('main no longer sees /workspace/extra/photos.');
  await person.say('look again');
  expect(await person.nextText()).toBe('work');
  await person.say(`/mount main ${join(owner, 'photos')}`);
  await person.nextText();

  rmSync(join(owner, 'work'), { recursive: true });
  for (const time of ['first', 'second']) {
    app.model
      .on(`${time} time`)
      .callTool('Bash', { command: 'ls /workspace/extra' })
      .thenReply((result) => `I see ${result}`);
    await person.say('/new');
    expect(await person.nextText()).toContain('fresh');
    await person.say(`the ${time} time`);
    if (time === 'first')
      expect(await person.nextText()).toContain('work as /workspace/extra/work, but does not');
    expect(await person.nextText()).toBe('I see photos');
  }
});
