/**
 * `npm run check`: everything that can be judged without running the program.
 * Runs every step and reports each in one line; changes nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles } from './bundle.mjs';
import { run } from './run.mjs';
import { command, prepare, projectDir } from './setup.mjs';

/** The core, the messengers, and the seal (engines and the way out): cl100k tokens. */
const budgets = [
  { dirs: ['src', 'container'], promised: 40_000, max: 45_000 },
  { dirs: ['channels'], promised: 21_000, max: 23_000 },
  { dirs: ['runtimes', 'egress'], promised: 20_000, max: 22_000 },
];
const stepTimeoutMs = 5 * 60_000;
const exactVersion = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

const steps = [
  [
    'format and lint, import cycles',
    () => tool('@biomejs/biome/bin/biome', ['check', '--error-on-warnings']),
  ],
  ['types', () => tool('typescript/bin/tsc', ['--pretty', 'false'])],
  ['dead code', () => tool('knip/bin/knip.js', ['--no-progress'])],
  ['dependencies pinned', dependenciesPinned],
  ...budgets.map((budget) => [`tokens in ${budget.dirs.join(', ')}`, () => tokenBudget(budget)]),
];

await command(async () => {
  await prepare({ bundles: false, runtime: false });
  let failed = 0;
  for (const [name, step] of steps) {
    const { ok, note, output } = await step();
    console.log(`${ok ? 'ok     ' : 'failed '} ${name}${note ? `: ${note}` : ''}`);
    if (output) console.log(output);
    if (!ok) failed += 1;
  }
  return failed > 0 ? 1 : 0;
});

async function tool(bin, args) {
  const file = join(projectDir, 'node_modules', bin);
  const { code, output } = await run(process.execPath, [file, ...args], {
    cwd: projectDir,
    timeoutMs: stepTimeoutMs,
  });
  return code === 0 ? { ok: true } : { ok: false, output };
}

/** A range, or a lockfile bound to one registry's address, would install something else elsewhere. */
function dependenciesPinned() {
  const manifest = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8'));
  const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
    .filter(([, version]) => !exactVersion.test(version))
    .map(([name, version]) => `${name} ${version} is not an exact version`);
  const lock = readFileSync(join(projectDir, 'package-lock.json'), 'utf8');
  if (lock.includes('"resolved"')) loose.push('package-lock.json holds "resolved" addresses');
  return { ok: loose.length === 0, output: loose.join('\n') };
}

/** `--tokens` prints the table. */
async function tokenBudget({ dirs, promised, max }) {
  const { countTokens } = await import('gpt-tokenizer/encoding/cl100k_base');
  const table = dirs
    .flatMap((dir) => listFiles(projectDir, dir))
    .map((file) => ({ file, tokens: countTokens(readFileSync(join(projectDir, file), 'utf8')) }))
    .sort((a, b) => b.tokens - a.tokens);
  const total = table.reduce((sum, { tokens }) => sum + tokens, 0);
  const rows = table.map(({ file, tokens }) => `${String(tokens).padStart(8)}  ${file}`);
  const warning = total > promised ? `, more than the ${promised} promised` : '';
  return {
    ok: total <= max,
    note: `${total} in ${table.length} files${warning}`,
    output: process.argv.includes('--tokens') ? rows.join('\n') : '',
  };
}
