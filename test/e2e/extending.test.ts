/** docs/EXTENDING.md: its code is taken from the page, joined to the host and used. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Feature } from '../../src/feature.ts';
import type { ScriptedCall } from '../scripted-model/scripted-model.ts';
import { App } from '../support/app.ts';
import { runSql } from '../support/database.ts';

const projectDir = dirname(dirname(import.meta.dirname));
const page = readFileSync(join(projectDir, 'docs/EXTENDING.md'), 'utf8');
const heading = '# The shopping list';

/** The first block of the page. */
const code = /^```ts\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';

let dir: string;
let shopping: Feature;

/** Git, format and bundles pass over dist/, so that nothing beside this test sees the file. */
beforeAll(async () => {
  mkdirSync(join(projectDir, 'dist'), { recursive: true });
  dir = mkdtempSync(join(projectDir, 'dist', 'extending-'));
  // The page's own place is one folder deeper, in src/.
  writeFileSync(join(dir, 'shopping.ts'), code.replaceAll("from '../../", "from '../../src/"));
  ({ shopping } = await import(join(dir, 'shopping.ts')));
});
afterAll(() => rmSync(dir, { recursive: true }));

/** The last line says what was put onto the list, or why not. */
function scriptShopping({ model }: App): void {
  for (const thing of ['milk', 'bread'])
    model
      .on(`we need ${thing}`)
      .callTool('mcp__nanoclaw__add_to_list', { thing })
      .thenReply((result) => result);
}

function told({ body }: ScriptedCall): { instructions: boolean; tool: boolean } {
  return {
    instructions: JSON.stringify(body.system).includes(heading),
    tool: JSON.stringify(body.tools).includes('mcp__nanoclaw__add_to_list'),
  };
}

test('the code of the page has no error of types or format', () => {
  const settings = { extends: '../../tsconfig.json', include: ['*.ts', '../../*.d.ts'] };
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(settings));
  run('typescript/bin/tsc', ['--pretty', 'false', '--project', dir]);
  // With --write and from stdin it prints what it would write.
  const place = '--stdin-file-path=src/features/shopping/shopping.ts';
  expect(run('@biomejs/biome/bin/biome', ['check', '--write', place], code)).toBe(code);
});

function run(tool: string, args: string[], input = ''): string {
  const file = join(projectDir, 'node_modules', tool);
  const { stdout, stderr, status } = spawnSync(process.execPath, [file, ...args], {
    cwd: projectDir,
    encoding: 'utf8',
    input,
  });
  expect(status, stdout + stderr).toBe(0);
  return stdout;
}

test('the agent uses its tool, the owner its command, and /status and the prompt tell of it', async () => {
  const app = await App.start({ features: [shopping] });
  scriptShopping(app);
  const owner = await app.attach();
  await owner.say('we need milk');
  expect(await owner.nextText()).toBe('To buy: milk.');
  await owner.say('we need bread');
  expect(await owner.nextText()).toBe('To buy: milk, bread.');
  await owner.say('/bought eggs');
  expect(await owner.nextText()).toBe('eggs is not on the list.');
  await owner.say('/bought milk');
  expect(await owner.nextText()).toBe('To buy: bread.');
  await owner.say('/status');
  expect(await owner.nextText()).toMatch(/\nTo buy: bread\.\nruntime/);
  await owner.say('/help');
  expect(await owner.nextText()).toContain('/bought THING...: takes a thing off the shopping list');

  // Another group's agent may not use the tool.
  const maria = await app.attach('family', 'Maria');
  await maria.say('@Andy hello there');
  await maria.next();
  await maria.say('/bought bread');
  expect(await maria.nextText()).toBe('/bought works in the main chat only.');
  expect(told(await app.model.call('we need milk'))).toEqual({ instructions: true, tool: true });
  expect(told(await app.model.call('hello there'))).toEqual({ instructions: false, tool: false });
});

test('its rows outlast a restart until they have expired, and its removal', async () => {
  const app = await App.start({ features: [shopping] });
  scriptShopping(app);
  const owner = await app.attach();
  for (const thing of ['milk', 'bread']) {
    await owner.say(`we need ${thing}`);
    await owner.next();
  }
  await owner.say('/bought milk');
  await owner.next();
  const version = "SELECT version FROM feature_versions WHERE feature = 'shopping'";
  const rows = 'SELECT thing, bought_at IS NULL AS isOpen FROM shopping ORDER BY id';
  const bread = { thing: 'bread', isOpen: 1 };
  expect(app.rows(version)).toEqual([{ version: 1 }]);
  await app.stop();
  await app.start();
  expect(app.rows(rows)).toEqual([{ thing: 'milk', isOpen: 0 }, bread]);
  await app.stop();
  const path = join(app.config.storeDir, 'nanoclaw.db');
  runSql(path, 'UPDATE shopping SET bought_at = 1 WHERE bought_at IS NOT NULL');
  await app.start();
  expect(app.rows(rows)).toEqual([bread]);
  await app.stop();

  const without = await App.start({ home: app.config.homeDir, model: app.model });
  without.model.on('/bought bread').reply('only words');
  const later = await without.attach();
  await later.say('/bought bread');
  expect(await later.nextText()).toBe('only words');
  expect(without.rows(rows)).toEqual([bread]);
  await without.stop();
  const [, cleanUp = ''] = /sqlite3 store\/nanoclaw\.db "([^"]+)"/.exec(page) ?? [];
  runSql(path, cleanUp);
  await app.start();
  expect(app.rows(version)).toEqual([{ version: 1 }]);
  expect(app.rows(rows)).toEqual([]);
});
