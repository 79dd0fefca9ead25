import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { Store } from '../../src/db.ts';
import { grantFolder } from '../../src/extra-mounts.ts';
import { App } from '../support/app.ts';
import { temporaryFolder } from '../support/store.ts';

test('an agent sees the folders that the owner lends it, and hears when one cannot be had', async () => {
  const owner = temporaryFolder();
  const app = await App.start({ environment: { XDG_CONFIG_HOME: join(owner, 'config') } });
  for (const name of ['photos', 'work']) mkdirSync(join(owner, name));
  writeFileSync(join(owner, 'photos/cat.txt'), 'a cat');
  // As root the agent is nobody to the owner: it writes what anybody may.
  chmodSync(join(owner, 'work'), 0o777);
  mkdirSync(dirname(app.config.allowlistPath), { recursive: true });
  const allowlist = { roots: [{ path: owner, write: true }] };
  writeFileSync(app.config.allowlistPath, JSON.stringify(allowlist), { mode: 0o600 });
  const store = new Store(join(app.config.storeDir, 'nanoclaw.db'));
  const host = { config: app.config, store };
  grantFolder(host, { folder: 'main', path: join(owner, 'photos'), readOnly: true });
  grantFolder(host, { folder: 'main', path: join(owner, 'work'), readOnly: false });
  store.close();

  const look =
    'cd /workspace/extra; ls; cat photos/cat.txt; echo; echo new > work/new; echo x > photos/x || echo kept; echo x > x || echo sealed';
  app.model
    .on('look around')
    .callTool('Bash', { command: look })
    .thenReply((result) => result);
  const person = await app.attach();
  await person.say('look around');
  expect(await person.nextText()).toMatch(/photos\nwork\na cat\n.*kept\n.*sealed/s);
  expect(readFileSync(join(owner, 'work/new'), 'utf8')).toBe('new\n');

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
