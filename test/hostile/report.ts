/**
 * The results of the hostile agent's checks, as lines of JSON for scripts/hostile-table.mjs and as
 * a table for people. Several suites add to one report.
 */
import { appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runtimeName, sentenceFor, type Verdict } from './check.ts';

/**
 * Appends the results to $NANOCLAW_HOSTILE_REPORT or a file in the temporary folder; prints a
 * table.
 */
export function appendVerdicts(verdicts: Verdict[]): void {
  const isRoot = process.getuid?.() === 0;
  const runtime = isRoot ? runtimeName() : `${runtimeName()}, plain user`;
  const path =
    process.env.NANOCLAW_HOSTILE_REPORT ??
    join(tmpdir(), `nanoclaw-hostile-${runtimeName()}.jsonl`);
  const rows = verdicts.map(({ check, isHeld }) => {
    const { id, area, says } = check;
    return { runtime, id, area, says, isHeld, why: isHeld ? null : (sentenceFor(check) ?? null) };
  });
  appendFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const table = rows.map(({ area, says, isHeld, why }) =>
    [`| ${area}`, says, isHeld ? 'held |' : `**open**${why ? `: ${why}` : ''} |`].join(' | '),
  );
  console.log(
    [`${path}`, `| area | an agent cannot | ${runtime} |`, '| --- | --- | --- |', ...table].join(
      '\n',
    ),
  );
}
