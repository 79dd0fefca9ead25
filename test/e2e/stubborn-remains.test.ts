import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { saveRun } from '../../src/db/runs.ts';
import { Store } from '../../src/db.ts';
import type { Feature } from '../../src/feature.ts';
import { App } from '../support/app.ts';

/** The last of these folders is too deep for any path to name it. */
const nested = `for _ in $(seq 40); do n=${'x'.repeat(200)}; mkdir $n && cd $n || exit 1; done`;

/** Leaves an open run with its folder, as a host does that died. */
function leaveRun(app: App, agentId: string): string {
  const store = new Store(join(app.config.storeDir, 'nanoclaw.db'));
  const run = saveRun(store, agentId, 1);
  store.close();
  const out = join(app.config.dataDir, 'agents', agentId, `run-${run}`, 'out');
  mkdirSync(out, { recursive: true });
  return out;
}

const openRuns = 'SELECT id FROM runs WHERE ended_at IS NULL';

test('folders that are too deep for a path end their run and are removed', async () => {
  const app = await App.start();
  app.model
    .on('dig')
    .callTool('Bash', { command: `cd /workspace/ipc/out && ${nested}` })
    .thenReply('dug');
  const person = await app.attach();
  await person.say('dig');
  expect(await person.nextText()).toBe('dug');
  await app.stop();
  expect(app.rows(openRuns)).toEqual([]);
  expect(readdirSync(join(app.config.dataDir, 'agents', 'main'))).toEqual(['home']);
  const trash = join(app.config.dataDir, 'trash');
  await expect.poll(() => readdirSync(trash)).toEqual([]);
});

test('folders that are too deep for a path do not keep the next host from starting', async () => {
  const app = await App.start();
  await app.stop();
  const out = leaveRun(app, 'main');
  execFileSync('bash', ['-c', nested], { cwd: out });
  await app.start();
  expect(app.rows(openRuns)).toEqual([]);
  expect(existsSync(out)).toBe(false);
});

test('a host that failed to start is not mistaken for a running one', async () => {
  let isBroken = false;
  const start = () => {
    if (isBroken) throw new Error('a feature is broken');
  };
  const broken: Feature = { name: 'broken', migrations: [], create: () => ({ start }) };
  const app = await App.start({ features: [broken] });
  await app.stop();
  isBroken = true;
  await expect(app.start()).rejects.toThrow('a feature is broken');
  isBroken = false;
  await app.start();
  expect(app.rows(openRuns)).toEqual([]);
});

test('a run of an agent that is no more is ended, and keeps no host from starting', async () => {
  const app = await App.start();
  await app.stop();
  const out = leaveRun(app, 'nobody');
  await app.start();
  expect(app.rows(openRuns)).toEqual([]);
  expect(existsSync(out)).toBe(false);
});
