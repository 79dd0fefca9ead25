/** What a check of the doctor is given and gives, and how it asks other programs. */
import { execFile } from 'node:child_process';

export interface Finding {
  /** `missing`: without it no agent runs. `note`: it works, and could be better or is not set up. */
  verdict: 'ok' | 'note' | 'missing';
  says: string;
  /** What to do, in lines; for all that is not ok. */
  remedy?: string;
}

/** A name of at most `nameWidth` characters, and what looks. What it throws counts as missing. */
export type Check = [name: string, look: () => Finding | Promise<Finding>];

export const nameWidth = 17;

export const ok = (says: string): Finding => ({ verdict: 'ok', says });
export const note = (says: string, remedy: string): Finding => ({ verdict: 'note', says, remedy });
export const missing = (says: string, remedy: string): Finding => ({
  verdict: 'missing',
  says,
  remedy,
});

/** What an error says; of ours, the first line tells what is wrong, the others what to do. */
export function linesOf(error: unknown): string[] {
  return (error instanceof Error ? error.message : String(error)).split(/\n+/);
}

export interface Answer {
  isInstalled: boolean;
  /** It exited with 0 in time. */
  isOk: boolean;
  /** Standard output when all is well; else the reason, in one line. */
  text: string;
}

const answerTimeoutMs = 6000;

/** Runs a program without input; it is killed when it does not answer in time. Never rejects. */
export function ask(
  file: string,
  args: string[],
  env: NodeJS.Dict<string> = process.env,
): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { env, timeout: answerTimeoutMs, killSignal: 'SIGKILL' } as const;
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      if (!error) return resolve({ isInstalled: true, isOk: true, text: stdout.trim() });
      const why = error.killed
        ? `it does not answer within ${answerTimeoutMs / 1000} seconds`
        : reasonIn(`${stderr}\n${stdout}`.trim() || error.message);
      resolve({ isInstalled: error.code !== 'ENOENT', isOk: false, text: why });
    });
    child.stdin?.end();
  });
}

/** A warning may come first. */
function reasonIn(text: string): string {
  const lines = text.split('\n');
  return lines.find((line) => /^error/i.test(line)) ?? lines[0] ?? '';
}
