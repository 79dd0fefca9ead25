/**
 * What people, agents or the clock want of the host, once it is parsed and checked: the one shape
 * that tools and commands give. Nothing is written before `commit`, and nothing is killed, sent or
 * shown within it.
 */
import type { Store } from './db.ts';
import { UserError } from './types.ts';

export interface Outcome {
  /**
   * Joins the caller's transaction and returns the answer, made from the committed rows. Throws
   * UserError when it must be refused after all; then nothing of it is committed.
   */
  commit(): string;
  /** Follows the commit. */
  after?(): void;
}

export interface Answer {
  ok: boolean;
  text: string;
}

/** Commits an outcome within the open transaction. A UserError undoes it alone and is the answer. */
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
