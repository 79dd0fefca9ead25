/**
 * What every step of the set-up uses: run a child, say a line, give up with a reason.
 * No child is given stdin: it belongs to the program that is started afterwards.
 */
import { spawn } from 'node:child_process';

const outputTailMax = 4000;

/** A set-up that cannot go on; the message is meant for the person at the terminal. */
export class SetupError extends Error {}

/** Set-up speaks on stderr only: stdout belongs to the chat. */
export function say(line) {
  process.stderr.write(`nanoclaw: ${line}\n`);
}

/**
 * Runs a child without stdin and keeps the tail of what it printed.
 * @returns {Promise<{ code: number, output: string }>} code 127 when it cannot be started,
 * 124 when it outlived `timeoutMs` and was killed
 */
export function run(file, args, { cwd, env, timeoutMs, onSpawn } = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // The timer of spawn's own `timeout` would outlive a child that could not be started.
      signal: timeoutMs && AbortSignal.timeout(timeoutMs),
      killSignal: 'SIGKILL',
    });
    let output = '';
    const keep = (chunk) => {
      output = (output + chunk).slice(-outputTailMax);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('spawn', () => onSpawn?.(child.pid));
    child.on('error', (error) => {
      const timedOut = error.name === 'AbortError';
      resolve({ code: timedOut ? 124 : 127, output: `${output}\n${error.message}`.trim() });
    });
    child.on('close', (code) => resolve({ code: code ?? 1, output: output.trim() }));
  });
}
