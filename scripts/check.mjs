/**
 * `npm run check`: everything that can be judged without running the program.
 * Runs every step and reports each in one line; changes nothing.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles } from './bundle.mjs';
import { drawRooms } from './rooms.mjs';
import { run } from './run.mjs';
import { command, prepare, projectDir } from './setup.mjs';

/**
 * What each room may take, in cl100k tokens, tests aside. A room is a folder of src/; the core is the
 * rest. `promised` is what we hold ourselves to, 8 % above it the check fails.
 */
const core = { name: 'the core', promised: 40_000, max: 71_000 };
const rooms = [
  core,
  { name: 'channels/whatsapp', promised: 22_000, max: 25_000 },
  { name: 'channels/terminal', promised: 3_000 },
  { name: 'egress', promised: 13_000 },
  { name: 'runtimes', promised: 12_000 },
  { name: 'cli', promised: 17_000 },
  ...readdirSync(join(projectDir, 'src/features')).map((name) => {
    return { name: `features/${name}`, promised: 8_000 };
  }),
];
const tolerance = 1.08;
const margin = ' '.repeat(24);
const whole = { promised: 120_000, max: 150_000 };
const stepTimeoutMs = 5 * 60_000;
const exactVersion = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

const steps = [
  ['format and lint', () => tool('@biomejs/biome/bin/biome', ['check', '--error-on-warnings'])],
  ['types', () => tool('typescript/bin/tsc', ['--pretty', 'false'])],
  ['dead code', () => tool('knip/bin/knip.js', ['--no-progress'])],
  ['imports go one way', imports],
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
  // What was written into tables is padded as the formatter wants it.
  if (process.argv.includes('--write'))
    await tool('@biomejs/biome/bin/biome', [
      'format',
      '--write',
      'docs/ARCHITECTURE.md',
      'README.md',
    ]);
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

/** No arrow goes up. docs/ARCHITECTURE.md shows what was found. */
async function imports() {
  const { cruise } = await import('dependency-cruiser');
  const { forbidden, options } = (await import('../.dependency-cruiser.mjs')).default;
  const { output } = await cruise(['src', 'container'], {
    ...options,
    baseDir: projectDir,
    ruleSet: { forbidden },
    validate: true,
  });
  const { violations } = output.summary;
  if (violations.length > 0) {
    const lines = violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
    return { ok: false, output: lines.join('\n') };
  }
  return documented(/(?<=```mermaid\n)graph TD[^`]*(?=\n```)/, () => drawRooms(output.modules));
}

/** The lines of what docs/ARCHITECTURE.md tells to read, and the sum of each part. */
function readingOrder() {
  return documented(/(?<=\n)\| \*\*The spine[\s\S]*?\n(?=\n)/, (table) => {
    const rows = table.trimEnd().split('\n');
    const counts = rows.map((row) => linesOf(/^\| `(\S+)`/.exec(row)?.[1]));
    const sum = (some) => some.reduce((total, count) => total + (count ?? 0), 0);
    const counted = rows.map((row, index) => {
      const rest = counts.slice(index + 1);
      const end = rest.indexOf(undefined);
      const part = index === rows.length - 1 ? counts : rest.slice(0, end);
      const count = counts[index] ?? `**${sum(part)}**`;
      return row.replace(/\| +\**\d+\** \|/, (cell) => {
        return `| ${String(count).padStart(cell.length - 4)} |`;
      });
    });
    return `${counted.join('\n')}\n`;
  });
}

/** Of a file, or of all files in `folder/*`; undefined without a path. */
function linesOf(path) {
  if (path === undefined) return undefined;
  const [dir, rest] = path.split('/*');
  const files = rest === undefined ? [path] : listFiles(projectDir, dir);
  const texts = files.map((file) => readFileSync(join(projectDir, file), 'utf8'));
  return texts.reduce((total, text) => total + text.split('\n').length - 1, 0);
}

/** Holds a part of a document to what is found; `--write` brings it up to date. */
function documented(pattern, find, document = 'docs/ARCHITECTURE.md') {
  const path = join(projectDir, document);
  const said = readFileSync(path, 'utf8');
  if (!pattern.test(said)) return { ok: false, output: `${document} lacks this part` };
  const found = said.replace(pattern, (part) => find(part));
  // The formatter pads the cells of tables.
  const plain = (text) => text.replace(/ +/g, ' ');
  if (plain(found) === plain(said)) return { ok: true };
  if (process.argv.includes('--write')) writeFileSync(path, found);
  else return { ok: false, output: `${document} is behind: npm run check -- --write` };
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
      room: rooms.find(({ name }) => file.startsWith(`src/${name}/`)) ?? core,
    }));
  const sumOf = (some) => some.reduce((total, { tokens }) => total + tokens, 0);
  const table = rooms.map((room) => {
    const own = files.filter((file) => file.room === room);
    return { max: Math.floor(room.promised * tolerance), ...room, files: own, tokens: sumOf(own) };
  });
  table.push({ name: 'all', ...whole, files: [], tokens: sumOf(files) });
  const lines = table.flatMap(({ name, tokens, promised, max, files }) => [
    `${name.padEnd(margin.length)}${cells([tokens, promised, max])}${verdict(tokens, promised, max)}`,
    ...(process.argv.includes('--tokens') ? files : [])
      .sort((a, b) => b.tokens - a.tokens)
      .map((file) => `${margin}${cells([file.tokens])}  ${file.file}`),
  ]);
  const head = `${margin}${cells(['tokens', 'promised', 'at most'])}`;
  const reading = documented(
    /takes [\d,]+ files and [\d,]+ tokens; the whole program, without tests, [\d,]+\./,
    () => {
      const spine = files.filter(({ file }) => spineFiles().includes(file));
      const [path, whole] = [sumOf(spine), sumOf(files)].map(inHundreds);
      return `takes ${spine.length} files and ${path} tokens; the whole program, without tests, ${whole}.`;
    },
    'README.md',
  );
  const sizes = documented(/(?<=\| room +\| +tokens [^\n]*\n\|[^\n]*\n)(\|[^\n]*\n)*/, () =>
    table.map(documentedRow).join(''),
  );
  return {
    ok: reading.ok && sizes.ok && table.every(({ tokens, max }) => tokens <= max),
    output: [head, ...lines, reading.output, sizes.output].filter(Boolean).join('\n'),
  };
}

function documentedRow({ name, tokens, promised, max }) {
  const limits = [promised, max].map((number) => number.toLocaleString('en'));
  return `| ${[name, inHundreds(tokens), ...limits].join(' | ')} |\n`;
}

/** So that not every change of the code changes the documents. */
function inHundreds(tokens) {
  return (Math.ceil(tokens / 100) * 100).toLocaleString('en');
}

/** As docs/ARCHITECTURE.md names them. */
function spineFiles() {
  const said = readFileSync(join(projectDir, 'docs/ARCHITECTURE.md'), 'utf8');
  const [, part = ''] = /\| \*\*The spine[^\n]*\n((?:\| `[^\n]*\n)*)/.exec(said) ?? [];
  return [...part.matchAll(/^\| `(\S+)`/gm)].map(([, file]) => file);
}

function verdict(tokens, promised, max) {
  if (tokens > max) return '  TOO LARGE';
  return tokens > promised ? '  more than promised' : '';
}

function cells(values) {
  return values.map((value) => String(value).padStart(10)).join('');
}
