/**
 * Makes one table of what the hostile agent's suite found on each runtime (test/hostile/report.ts),
 * with the sentences that belong to it.
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

/**
 * The Markdown of all rows: a table that counts what held, a sentence for everything that stays
 * open, and the list of all that was tried.
 */
export function hostileTable(rows) {
  const runtimes = [...new Set(rows.map(({ runtime }) => runtime))];
  const checks = checksIn(rows);
  const areas = [...new Set(checks.map(({ area }) => area))].sort();
  const inArea = (area) => checks.filter((check) => check.area === area);
  return [
    `| area | checks | ${runtimes.join(' | ')} |`,
    `| --- | ---: |${' ---: |'.repeat(runtimes.length)}`,
    ...areas.map((area) => {
      const counts = runtimes.map((runtime) => countHeld(inArea(area), runtime));
      return `| ${[area, inArea(area).length, ...counts].join(' | ')} |`;
    }),
    '',
    ...whatStaysOpen(checks),
    '',
    'What was tried. An agent cannot ...',
    ...areas.flatMap((area) => [
      `\n${area}:\n`,
      ...inArea(area).map((check) => `- ${check.says}${exceptions(check, runtimes)}`),
    ]),
  ].join('\n');
}

/** One for each id, with the last row of each runtime. */
function checksIn(rows) {
  const checks = new Map();
  for (const row of rows) {
    const { area, says, found = {} } = checks.get(row.id) ?? row;
    checks.set(row.id, { area, says, found: { ...found, [row.runtime]: row } });
  }
  return [...checks.values()];
}

function countHeld(checks, runtime) {
  const run = checks.flatMap(({ found }) => found[runtime] ?? []);
  return run.length === 0 ? 'not run' : `${run.filter(({ isHeld }) => isHeld).length} held`;
}

/** A sentence that is the same on several runtimes is said once. */
function whatStaysOpen(checks) {
  const sentences = checks.flatMap(({ says, found }) => {
    const open = Object.values(found).filter(({ isHeld }) => !isHeld);
    const reasons = [...new Set(open.map(({ why }) => why ?? 'not explained'))];
    return reasons.map((reason) => {
      const where = open.filter(({ why }) => (why ?? 'not explained') === reason);
      return `- ${says} (${where.map(({ runtime }) => runtime).join(', ')}): ${reason}`;
    });
  });
  return sentences.length === 0
    ? ['Nothing stays open.']
    : ['What stays open. An agent can ...\n', ...sentences];
}

function exceptions({ found }, runtimes) {
  const named = (label, some) => (some.length > 0 ? [`${label} ${some.join(', ')}`] : []);
  const open = runtimes.filter((runtime) => found[runtime]?.isHeld === false);
  const notRun = runtimes.filter((runtime) => found[runtime] === undefined);
  const words = [...named('**open** with', open), ...named('not run with', notRun)].join('; ');
  return words && ` (${words})`;
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
