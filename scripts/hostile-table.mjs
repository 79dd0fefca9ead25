/**
 * Makes one table of what the hostile agent's suite found on each runtime (test/hostile/report.ts).
 *
 *   node scripts/hostile-table.mjs FILE...           prints it
 *   node scripts/hostile-table.mjs --write FILE...   puts it into docs/SECURITY.md
 *
 * Where a check was run twice on a runtime, the later line counts. Ends with status 1 when anything
 * is open without a sentence that says why.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const documentPath = join(import.meta.dirname, '../docs/SECURITY.md');
const begin = '<!-- hostile:begin -->';
const end = '<!-- hostile:end -->';

/** The Markdown of all rows: a table, and below it a sentence for everything that stays open. */
export function hostileTable(rows) {
  const runtimes = [...new Set(rows.map(({ runtime }) => runtime))];
  const checks = new Map();
  for (const row of rows) {
    const { area, says, found = {} } = checks.get(row.id) ?? row;
    checks.set(row.id, { area, says, found: { ...found, [row.runtime]: row } });
  }
  const sorted = [...checks.values()].sort((a, b) => a.area.localeCompare(b.area));
  const cell = (row) => (row === undefined ? 'not run' : row.isHeld ? 'held' : '**open**');
  const lines = sorted.map(({ area, says, found }) =>
    [area, says, ...runtimes.map((runtime) => cell(found[runtime]))].join(' | '),
  );
  const open = sorted.flatMap(({ says, found }) =>
    Object.values(found)
      .filter(({ isHeld }) => !isHeld)
      .map(({ runtime, why }) => `- ${runtime}, "${says}": ${why ?? 'not explained'}`),
  );
  const head = ['area', 'an agent cannot ...', ...runtimes];
  return [
    `| ${head.join(' | ')} |`,
    `| ${head.map(() => '---').join(' | ')} |`,
    ...lines.map((line) => `| ${line} |`),
    '',
    open.length === 0 ? 'Nothing stays open.' : 'What stays open:\n',
    ...open,
  ].join('\n');
}

/** The document with the table between its two marks. Throws where they are missing. */
export function withTable(document, table) {
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${begin} and ${end} are not in the document`);
  return `${document.slice(0, from + begin.length)}\n\n${table}\n\n${document.slice(to)}`;
}

function main() {
  const { values, positionals } = parseArgs({
    options: { write: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const rows = positionals.flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  );
  const table = hostileTable(rows);
  if (values.write)
    writeFileSync(documentPath, withTable(readFileSync(documentPath, 'utf8'), table));
  else console.log(table);
  return table.includes('not explained') ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) process.exitCode = main();
