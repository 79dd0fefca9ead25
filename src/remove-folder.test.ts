import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../test/support/store.ts';
import { loadConfig } from './config.ts';
import { emptyTrash, removeFolder } from './remove-folder.ts';

/** A state folder with a run's folder in it. */
function openState() {
  const home = temporaryFolder();
  onTestFinished(() => void execFileSync('rm', ['-rf', home]));
  const logged: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void logged.push(line) });
  const host = { config: loadConfig({ NANOCLAW_HOME: home }, home), log };
  const { dataDir, trashDir } = host.config;
  mkdirSync(trashDir, { recursive: true });
  const run = join(dataDir, 'run-1');
  mkdirSync(join(run, 'out'), { recursive: true });
  const trash = () => readdirSync(trashDir);
  return { home, run, host, logged, trash };
}

/** Makes a folder in a folder, and so on; no path leads to the last. */
function nest(dir: string, name: string, levels: number): void {
  const script = 'import os, sys\nfor _ in range(int(sys.argv[2])):\n os.mkdir(sys.argv[1])\n';
  const enter = ' os.chdir(sys.argv[1])';
  execFileSync('python3', ['-c', script + enter, name, String(levels)], { cwd: dir });
}

const patient = { timeout: 60_000 };

describe('removing a folder that an agent has filled', () => {
  test.each<[string, (out: string) => void]>([
    ['is deeper than a path can be long', (out) => nest(out, 'x'.repeat(200), 40)],
    ['has ten thousand levels', (out) => nest(out, 'd', 10_000)],
  ])('moves it aside at once, and deletes it, when it %s', { timeout: 90_000 }, async (_, fill) => {
    const { run, host, logged, trash } = openState();
    fill(join(run, 'out'));
    removeFolder(run, host);
    expect(existsSync(run)).toBe(false);
    await expect.poll(trash, patient).toEqual([]);
    expect(logged).toEqual([]);
  });

  test('does not wait until fifty thousand files are deleted', { timeout: 90_000 }, async () => {
    const { run, host, trash } = openState();
    execFileSync('sh', ['-c', 'seq 50000 | xargs touch'], { cwd: join(run, 'out') });
    removeFolder(run, host);
    expect(trash()).toHaveLength(1);
    await expect.poll(trash, patient).toEqual([]);
  });

  test('restores missing permissions where the host is not root, and follows no link', async () => {
    const { home, run, trash } = openState();
    const kept = join(home, 'kept');
    writeFileSync(kept, '', { mode: 0o400 });
    mkdirSync(join(run, 'out/closed/inner'), { recursive: true });
    writeFileSync(join(run, 'out/closed/inner/file'), '');
    symlinkSync(kept, join(run, 'out/link'));
    symlinkSync(home, join(run, 'out/folder'));
    execFileSync('chmod', ['000', join(run, 'out/closed/inner'), join(run, 'out/closed')]);
    await removeAs(65_534, home, run);
    await expect.poll(trash, patient).toEqual([]);
    expect(statSync(kept).mode & 0o777).toBe(0o400);
  });

  test('is continued by the next host, and a failure is only logged', async () => {
    const { run, host, logged, trash } = openState();
    const { trashDir } = host.config;
    mkdirSync(join(trashDir, 'left/deep'), { recursive: true });
    emptyTrash(host);
    await expect.poll(trash, patient).toEqual([]);
    execFileSync('rm', ['-r', trashDir]);
    writeFileSync(trashDir, 'in the way');
    removeFolder(run, host);
    expect(logged).toHaveLength(1);
  });
});

/** As a process of another user, to whom all is given; root could open anything. */
async function removeAs(uid: number, home: string, dir: string): Promise<void> {
  const outfile = join(home, 'remove.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'remove-folder.ts')],
    ...{ outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' },
  });
  const code = `import { removeFolder } from ${JSON.stringify(outfile)};
    const log = { error: (...facts) => { throw new Error(JSON.stringify(facts)); } };
    removeFolder(${JSON.stringify(dir)}, { config: { trashDir: ${JSON.stringify(join(home, 'data/trash'))} }, log });`;
  const isRoot = process.getuid?.() === 0;
  if (isRoot) execFileSync('chown', ['-hR', `${uid}:${uid}`, home]);
  execFileSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: '/',
    ...(isRoot && { uid, gid: uid }),
  });
}
