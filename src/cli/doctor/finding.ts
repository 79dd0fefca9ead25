/** What a check of the doctor finds, and the words for it. */

export interface Finding {
  /** `missing`: without it no agent runs. `note`: it works, and could be better or is not set up. */
  verdict: 'ok' | 'note' | 'missing';
  says: string;
  /** What to do, in lines; for each verdict but `ok`. */
  remedy?: string;
}

/** A name of at most `nameWidth` characters, and the check. An error counts as missing. */
export type Check = [name: string, look: () => Finding | Promise<Finding>];

export const nameWidth = 17;

export const ok = (says: string): Finding => ({ verdict: 'ok', says });
export const note = (says: string, remedy: string): Finding => ({ verdict: 'note', says, remedy });
export const missing = (says: string, remedy: string): Finding => ({
  verdict: 'missing',
  says,
  remedy,
});

/** The lines of an error. In a UserError the first tells what is wrong, the others what to do. */
export function linesOf(error: unknown): string[] {
  return (error instanceof Error ? error.message : String(error)).split(/\n+/);
}
