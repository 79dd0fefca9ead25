/**
 * What a tool or a command returns once the request is parsed and checked. Nothing is written
 * before `commit`, and nothing is killed, sent or shown within it.
 */
import type { Store } from './db.ts';
import { UserError } from './types.ts';

export interface Outcome {
  /**
   * Runs in the caller's transaction and returns the answer, made from the rows that it has
   * written. Throws UserError to refuse after all; then nothing of it is committed.
   */
  commit(): string;
  /** Runs after the commit. */
  after?(): void;
}

export interface Answer {
  ok: boolean;
  text: string;
}

/**
 * Commits an outcome in the open transaction. A UserError undoes this outcome only, and becomes the
 * answer. Throws any other error.
 */
export function settle(store: Store, decide: () => Outcome): Answer {
  try {
    return store.transaction(() => {
      const outcome = decide();
      store.afterCommit(() => outcome.after?.());
      return { ok: true, text: outcome.commit() };
    });
  } catch (error) {
    if (error instanceof UserError) return { ok: false, text: error.message };
    throw error;
  }
}
