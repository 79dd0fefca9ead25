/**
 * `npm run doctor`: checks all that NanoClaw needs, and says what is missing and what to do. Each
 * check is bounded in time. It changes nothing, and may run beside a host.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../config.ts';
import { containerChecks } from './doctor/containers.ts';
import { type Check, type Finding, linesOf, missing, nameWidth } from './doctor/finding.ts';
import { programChecks } from './doctor/program.ts';
import { stateChecks } from './doctor/state.ts';
import { wayOutChecks } from './doctor/way-out.ts';

export interface DoctorOptions {
  /** Try every container runtime that is there, not only the one that the host would choose. */
  all: boolean;
  /** Print the findings for a script. */
  json: boolean;
}

/** Longer than a check's own timeouts. */
const checkTimeoutMs = 60_000;
const verdictWidth = 'missing'.length;

/** Resolves to the exit status: 0 when an agent can be run sealed, 1 when something is missing or nobody reads on. */
export async function doctor(projectDir: string, options: DoctorOptions): Promise<number> {
  const say = (text: string) => process.stdout.write(`${text}\n`);
  const findings: (Finding & { name: string })[] = [];
  let isRead = true;
  // EPIPE: the reader is gone; it may have been `head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    isRead = false;
  });
  // One after the other, because checks that share the machine take longer and may time out.
  for (const [name, look] of await listChecks(projectDir, options)) {
    const finding = { name, ...(await within(checkTimeoutMs, look)) };
    findings.push(finding);
    if (!options.json) say(inWords(finding));
    if (!isRead) return 1;
  }
  const isReady = findings.every(({ verdict }) => verdict !== 'missing');
  if (options.json) say(JSON.stringify({ ready: isReady, findings }, null, 2));
  else say(`\n${isReady ? 'Agents can run here, sealed.' : 'Not ready: see what is missing.'}`);
  return isReady ? 0 : 1;
}

async function listChecks(projectDir: string, { all }: DoctorOptions): Promise<Check[]> {
  const checks = programChecks(projectDir);
  try {
    const config = loadConfig(process.env, projectDir);
    return [
      ...checks,
      ...(await containerChecks(config, all)),
      ...wayOutChecks(config),
      ...stateChecks(config),
    ];
  } catch (error) {
    // All other checks need the settings.
    return [...checks, ['settings', () => Promise.reject(error)]];
  }
}

async function within(timeoutMs: number, look: Check[1]): Promise<Finding> {
  const hangs = missing('no result in time', 'Something here hangs.');
  try {
    return await Promise.race([look(), sleep(timeoutMs, hangs, { ref: false })]);
  } catch (error) {
    const [says = '', ...remedy] = linesOf(error);
    return missing(says, remedy.join('\n') || 'Put this right, and ask again.');
  }
}

function inWords({ verdict, name, says, remedy }: Finding & { name: string }): string {
  const line = `${verdict.padEnd(verdictWidth)}  ${name.padEnd(nameWidth)}  ${says}`;
  const indent = ' '.repeat(verdictWidth + nameWidth + 4);
  return remedy ? `${line}\n${remedy.replace(/^/gm, indent)}` : line;
}
