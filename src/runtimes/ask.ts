/**
 * Runs other programs and waits for their answer: without a shell, without input, and with a bound
 * on time and output.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Answer {
  /** `silent`: it did not answer in time, or failed and gave no reason. */
  outcome: 'ok' | 'failed' | 'silent' | 'absent';
  /** Standard output when it is ok; otherwise the reason, in one line. */
  text: string;
}

interface AskOptions {
  env?: NodeJS.Dict<string>;
  /** Then it is killed; 0 for never. */
  timeoutMs?: number;
}

const answerTimeoutMs = 5000;
const outputBytesMax = 16 * 1024 ** 2;

/** Never rejects. */
export function ask(
  file: string,
  args: readonly string[],
  { env = process.env, timeoutMs = answerTimeoutMs }: AskOptions = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    const bounds = {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: outputBytesMax,
    } as const;
    const child = execFile(file, args, { env, ...bounds }, (error, stdout, stderr) => {
      if (!error) return resolve({ outcome: 'ok', text: stdout.trim() });
      if (error.code === 'ENOENT') return resolve({ outcome: 'absent', text: 'not installed' });
      if (error.killed) {
        const text = `it does not answer within ${timeoutMs / 1000} seconds`;
        return resolve({ outcome: 'silent', text });
      }
      const text = reasonIn(`${stdout}\n${stderr}`);
      resolve(
        text ? { outcome: 'failed', text } : { outcome: 'silent', text: 'it gave no reason' },
      );
    });
    child.stdin?.end();
  });
}

/** As `ask`, without a bound: the person at the terminal sees the output as it comes. */
export async function askAloud(file: string, args: readonly string[]): Promise<Answer> {
  const child = spawn(file, args, { stdio: ['ignore', process.stderr, process.stderr] });
  const [code] = await once(child, 'close');
  return { outcome: code === 0 ? 'ok' : 'failed', text: 'the reason stands above' };
}

/** The last line that begins with an error, or else the last line: warnings come before it. */
function reasonIn(output: string): string | undefined {
  const lines = output.split('\n').filter((line) => line.trim());
  return (lines.findLast((line) => /^\W*(error\b|e:)/i.test(line)) ?? lines.at(-1))?.trim();
}
