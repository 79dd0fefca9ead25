/** What all measurements share: the clock, the median, and the project's folder. */
import { dirname } from 'node:path';

export const projectDir = dirname(import.meta.dirname);

/** Milliseconds since the epoch, with fractions, on a clock that all processes share. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Resolves to the milliseconds that `work` takes. */
export async function took(work: () => Promise<unknown>): Promise<number> {
  const startMs = nowMs();
  await work();
  return nowMs() - startMs;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = 0, high = low] = sorted.slice(Math.ceil(middle) - 1, Math.floor(middle) + 1);
  return (low + high) / 2;
}

/** Rounds to the precision of the measurement. */
export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

/** Progress goes to standard error: standard output is for the result. */
export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
