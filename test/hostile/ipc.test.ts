import { existsSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { App } from '../support/app.ts';
import { ipcChecks } from './ipc.ts';
import { siegeSuite } from './siege.ts';

siegeSuite('a hostile agent in the folders that it shares with the host', ipcChecks, {
  // More than the flood creates, so that this limit does not stop it.
  limits: { folderFilesMax: 20_000 },
});

test('the next start writes nothing through a link in place of a CLAUDE.md', async () => {
  const app = await App.start();
  await app.stop();
  const target = join(app.config.homeDir, 'written');
  for (const group of ['main', 'global']) {
    rmSync(app.inGroup(group, 'CLAUDE.md'));
    symlinkSync(target, app.inGroup(group, 'CLAUDE.md'));
  }
  await app.start();
  expect(existsSync(target)).toBe(false);
});
