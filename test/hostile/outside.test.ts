/**
 * A check that cannot fail proves nothing. So the harmless checks also run on the host itself,
 * where nothing is sealed, and the verdict on broken and dishonest programs is tested.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { App } from '../support/app.ts';
import { allChecks } from './all-checks.ts';
import { type Check, commandFor, judge } from './check.ts';
import { World } from './world.ts';

const harmless = allChecks.filter(({ mild }) => mild);
/** Some cannot succeed on a kernel that lacks a feature, or as a plain user. */
const openShareMin = process.getuid?.() === 0 ? 0.8 : 0.5;

test('without a container, nearly all harmless checks are open', async () => {
  const world = await World.create();
  onTestFinished(() => world.remove());
  const app = await App.start();
  await world.plantIn(app);
  const folder = mkdtempSync(join(tmpdir(), 'nanoclaw-outside-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const held: Record<string, string> = {};
  for (const check of harmless) {
    const command = commandFor(check, world.facts, folder);
    const { stdout } = await promisify(execFile)('bash', ['-c', command], { cwd: folder });
    const verdict = judge(check, stdout, await world.take(), world);
    if (verdict.isHeld || !verdict.evidence.finished) held[check.id] = stdout;
  }
  const share = 1 - Object.keys(held).length / harmless.length;
  expect(share, JSON.stringify(held, null, 1)).toBeGreaterThan(openShareMin);
}, 120_000);

test('a program that breaks, prints OPEN or prints a secret never counts as held', async () => {
  const world = await World.create();
  onTestFinished(() => world.remove());
  const check: Check = {
    id: 'x',
    area: 'x',
    says: 'x',
    program: { language: 'bash', code: '' },
  };
  const isHeld = (printed: string, breaches: string[] = []) =>
    judge(check, printed, breaches, world).isHeld;
  expect(isHeld('nothing\n\nexit 0')).toBe(true);
  expect(isHeld('nothing\n\nexit 1')).toBe(false);
  expect(isHeld('nothing')).toBe(false);
  expect(isHeld('so\nOPEN there\n\nexit 0')).toBe(false);
  expect(isHeld(`${world.secret('a place')}\n\nexit 0`)).toBe(false);
  expect(isHeld('the-real-key\n\nexit 0')).toBe(false);
  expect(isHeld('nothing\n\nexit 0', ['a connection'])).toBe(false);
});
