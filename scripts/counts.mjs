/** Counts tests from vitest's JSON report, so that every failure is counted. */

/**
 * @param report vitest's JSON report, or undefined when there is none
 * @param exitCode vitest's own verdict, which includes errors outside of tests
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function countTests(report, exitCode) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report?.testResults ?? []) {
    const failedBefore = counts.failed;
    for (const { status } of file.assertionResults) {
      counts[status === 'passed' || status === 'failed' ? status : 'skipped'] += 1;
    }
    // The file did not load, or a hook failed, which no test of it shows.
    if (file.status === 'failed' && counts.failed === failedBefore) counts.failed += 1;
  }
  const nothingRan = counts.passed + counts.failed === 0;
  if (counts.failed === 0 && (exitCode !== 0 || nothingRan)) counts.failed = 1;
  return counts;
}

/** How many tests were skipped whose `meta.needs` is `need`. */
export function countSkippedFor(need, report) {
  return (report?.testResults ?? [])
    .flatMap((file) => file.assertionResults)
    .filter(({ status, meta }) => status === 'skipped' && meta?.needs === need).length;
}

/** `12 passed, 0 failed`, and how many were skipped if any were. */
export function describeCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
