import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../test/support/store.ts';
import { loadConfig } from './config.ts';
import { startHost } from './index.ts';
import { prepareState } from './state-folders.ts';

const gateway = {
  baseUrl: 'http://127.0.0.1:9',
  credential: { kind: 'api-key', secret: 'x' },
} as const;
const project = resolve(import.meta.dirname, '..');

test.skipIf(process.getuid?.() !== 0)(
  'starts no agent that could read the .env of the project, as below /usr',
  async () => {
    const place = `/usr/src/nanoclaw-test-${process.pid}`;
    mkdirSync(place, { recursive: true });
    onTestFinished(() => rmSync(place, { recursive: true }));
    for (const name of ['container', 'dist', 'groups'])
      symlinkSync(join(project, name), join(place, name));
    writeFileSync(join(place, '.env'), 'ANTHROPIC_API_KEY=x\n', { mode: 0o600 });
    const environment = { NANOCLAW_HOME: temporaryFolder(), NANOCLAW_RUNTIME: 'bubblewrap' };
    const started = startHost(loadConfig(environment, place), gateway).then((host) => host.stop());
    await expect(started).rejects.toThrow(`It sees ${place}/.env of the host.`);
  },
);

test('a second host touches nothing of the one that runs', async () => {
  const home = temporaryFolder();
  const config = loadConfig({ NANOCLAW_HOME: home, NANOCLAW_RUNTIME: 'bubblewrap' }, project);
  prepareState(config);
  const socket = createServer().listen(config.socketPath);
  onTestFinished(() => void socket.close());
  await once(socket, 'listening');
  await expect(startHost(config, gateway)).rejects.toThrow('already runs');
  expect(readdirSync(config.storeDir)).toEqual([]);
  expect(readdirSync(config.groupsDir)).toEqual([]);
});
