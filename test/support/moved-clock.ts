/**
 * The machine's clock, which a test moves on, so that a time-out passes at once. A host in a process
 * of its own is sent the milliseconds.
 */
import { systemClock } from '../../src/clock.ts';
import { defaultLimits } from '../../src/config.ts';
import type { Clock } from '../../src/types.ts';

export class MovedClock implements Clock {
  #aheadMs = 0;
  readonly #timers = new Map<() => void, { atMs: number; cancel: () => void }>();

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  after(delayMs: number, fire: () => void): () => void {
    const once = () => {
      this.#timers.delete(once);
      fire();
    };
    this.#set(once, this.now() + delayMs);
    return () => {
      this.#timers.get(once)?.cancel();
      this.#timers.delete(once);
    };
  }

  move(byMs: number): void {
    this.#aheadMs += byMs;
    for (const [fire, { atMs, cancel }] of this.#timers) {
      cancel();
      this.#set(fire, atMs);
    }
  }

  #set(fire: () => void, atMs: number): void {
    const cancel = systemClock.after(Math.max(0, atMs - this.now()), fire);
    this.#timers.set(fire, { atMs, cancel });
  }
}

/** Options of a host with this clock. Baileys has a clock of its own, so it pings more often. */
export function withMovedClock() {
  const clock = new MovedClock();
  process.on('message', (byMs) => clock.move(Number(byMs)));
  return { clock, limits: { ...defaultLimits, keepAliveMs: 500 } };
}
