/**
 * `npm test`: set-up, then every test; arguments go to vitest. The last line counts the tests from
 * vitest's own report. A file that cannot be loaded, an aborted run and a run without tests each
 * count as a failure.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { countSkippedFor, countTests, describeCounts } from './counts.mjs';
import { internetComplaint } from './own-internet.mjs';
import { ensureTestPrograms } from './packages.mjs';
import { command, prepare, projectDir } from './setup.mjs';

await command(async () => {
  await prepare();
  await ensureTestPrograms();
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-test-'));
  const reportFile = join(dir, 'report.json');
  try {
    const code = await runVitest(reportFile, process.argv.slice(2));
    const report = readReport(reportFile);
    const counts = countTests(report, code);
    await tellOfSkipped(countSkippedFor('internet', report));
    console.log(describeCounts(counts));
    return code || (counts.failed > 0 ? 1 : 0);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

async function tellOfSkipped(count) {
  const reason = count > 0 && (await internetComplaint());
  // Without a complaint the tests were only filtered out.
  if (!reason) return;
  console.log(`${count} skipped for want of an internet of their own: ${reason}`);
}

async function runVitest(reportFile, args) {
  const vitest = join(projectDir, 'node_modules', 'vitest', 'vitest.mjs');
  const report = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
  const child = spawn(process.execPath, [vitest, 'run', ...report, ...args], {
    cwd: projectDir,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'close');
  return code ?? 1;
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined; // ENOENT: vitest ended before it could report
    throw error;
  }
}
