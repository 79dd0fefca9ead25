/**
 * How fast messages may follow each other: so many at once, then one in each interval. Remembers
 * only when the next one is due, by key.
 */
import type { Clock, Pace } from './types.ts';

const keysMax = 1000;

export class Paces {
  readonly #clock: Clock;
  /** When the next message of a key would be due if none were let go early. */
  readonly #dueMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes a place, and returns how long to wait for it, in milliseconds. */
  take(key: string, { burst, everyMs }: Pace): number {
    const nowMs = this.#clock.now();
    const dueMs = Math.max(this.#dueMs.get(key) ?? 0, nowMs - (burst - 1) * everyMs);
    if (this.#dueMs.size >= keysMax)
      for (const [old, oldDueMs] of this.#dueMs) if (oldDueMs <= nowMs) this.#dueMs.delete(old);
    this.#dueMs.set(key, dueMs + everyMs);
    return Math.max(0, dueMs - nowMs);
  }
}
