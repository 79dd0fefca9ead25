/**
 * `npm run check`: everything that can be judged without running the program.
 * Runs every step and reports each in one line; changes nothing.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles } from './bundle.mjs';
import { run } from './run.mjs';
import { command, prepare, projectDir } from './setup.mjs';

/**
 * What each room may take, in cl100k tokens, tests aside; a room named in full is not counted in the
 * one around it. `promised` is what we hold ourselves to, 8 % above it the check fails.
 */
const rooms = [
  { name: 'the core', dirs: ['src', 'container'], promised: 40_000, max: 45_000 },
  { name: 'channels/whatsapp', dirs: ['src/channels/whatsapp'], promised: 22_000 },
  { name: 'channels/terminal', dirs: ['src/channels/terminal'], promised: 3_000 },
  { name: 'egress', dirs: ['src/egress'], promised: 13_000 },
  { name: 'runtimes', dirs: ['src/runtimes'], promised: 12_000 },
  { name: 'cli', dirs: ['src/cli'], promised: 17_000 },
  ...readdirSync(join(projectDir, 'src/features')).map((name) => ({
    name: `features/${name}`,
    dirs: [`src/features/${name}`],
    promised: 8_000,
  })),
];
const tolerance = 1.08;
const whole = { promised: 120_000, max: 130_000 };
const stepTimeoutMs = 5 * 60_000;
const exactVersion = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

const steps = [
  ['format and lint', () => tool('@biomejs/biome/bin/biome', ['check', '--error-on-warnings'])],
  ['types', () => tool('typescript/bin/tsc', ['--pretty', 'false'])],
  ['dead code', () => tool('knip/bin/knip.js', ['--no-progress'])],
  [
    'imports go one way',
    () =>
      tool('dependency-cruiser/bin/dependency-cruise.mjs', [
        '--config',
        '.dependency-cruiser.mjs',
        'src',
        'container',
      ]),
  ],
  ['dependencies pinned', dependenciesPinned],
  ['line counts of the reading order', readingOrder],
  ['tokens', tokens],
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

/** docs/ARCHITECTURE.md counts the lines of what it tells to read; `--write` brings it up to date. */
function readingOrder() {
  const path = join(projectDir, 'docs/ARCHITECTURE.md');
  const said = readFileSync(path, 'utf8');
  const linesOf = (file) => readFileSync(join(projectDir, file), 'utf8').split('\n').length - 1;
  const counted = said.replace(
    /^(\| `([^`]+\.ts)` +\|) +\d+ \|/gm,
    (_row, start, file) => `${start} ${String(linesOf(file)).padStart(8)} |`,
  );
  if (process.argv.includes('--write')) writeFileSync(path, counted);
  else if (counted !== said)
    return { ok: false, output: 'docs/ARCHITECTURE.md is behind: npm run check -- --write' };
  return { ok: true };
}

/** A row for each room, and the sum. `--tokens` adds every file. */
async function tokens() {
  const { countTokens } = await import('gpt-tokenizer/encoding/cl100k_base');
  const files = ['src', 'container']
    .flatMap((dir) => listFiles(projectDir, dir))
    .map((file) => ({
      file,
      tokens: countTokens(readFileSync(join(projectDir, file), 'utf8')),
      room: rooms.findLast(({ dirs }) => dirs.some((dir) => file.startsWith(`${dir}/`))),
    }));
  const sumOf = (some) => some.reduce((total, { tokens }) => total + tokens, 0);
  const table = rooms.map((room) => {
    const own = files.filter((file) => file.room === room);
    return { max: Math.floor(room.promised * tolerance), ...room, files: own, tokens: sumOf(own) };
  });
  table.push({ name: 'all', ...whole, files: [], tokens: sumOf(files) });
  const lines = table.flatMap(({ name, tokens, promised, max, files }) => [
    `${cell(name, 20)}${cell(tokens)}${cell(promised)}${cell(max)}${verdict(tokens, promised, max)}`,
    ...(process.argv.includes('--tokens') ? files : [])
      .sort((a, b) => b.tokens - a.tokens)
      .map((file) => `${cell('', 20)}${cell(file.tokens)}  ${file.file}`),
  ]);
  const head = `${cell('', 20)}${['tokens', 'promised', 'at most'].map((word) => cell(word)).join('')}`;
  return {
    ok: table.every(({ tokens, max }) => tokens <= max),
    output: [head, ...lines].join('\n'),
  };
}

function verdict(tokens, promised, max) {
  if (tokens > max) return '  TOO LARGE';
  return tokens > promised ? '  more than promised' : '';
}

function cell(value, width = 10) {
  return typeof value === 'number' || width === 10
    ? String(value).padStart(width)
    : String(value).padEnd(width);
}
