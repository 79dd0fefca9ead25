/**
 * Signs of life: one short line for what the agent does now, the newest first, and not more
 * often than the host can use. Loses lines on purpose.
 */
import { z } from 'zod';
import { cut, type Outbox } from './outbox.ts';

const everyMs = 500;
const lineMax = 80;

export class Progress {
  readonly #outbox: Outbox;
  #latest: string | undefined;
  #pause: NodeJS.Timeout | undefined;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  show(text: string): void {
    this.#latest = text;
    if (!this.#pause) this.#write();
  }

  /** Forgets a line that is not written yet: what it tells of is over. */
  clear(): void {
    this.#latest = undefined;
  }

  readonly #write = (): void => {
    this.#pause = undefined;
    if (this.#latest === undefined) return;
    this.#outbox.write({ kind: 'progress', text: cut(this.#latest, lineMax) });
    this.#latest = undefined;
    this.#pause = setTimeout(this.#write, everyMs);
  };
}

const verbs: Record<string, string> = {
  Agent: 'Asks a helper:',
  Bash: 'Bash:',
  Edit: 'Edits',
  Glob: 'Looks for',
  Grep: 'Looks for',
  Read: 'Reads',
  WebSearch: 'Searches the web:',
  Write: 'Writes',
};
/** The fields of a tool's input that say what it is about, the best first. */
const subjects = ['description', 'command', 'query', 'file_path', 'pattern', 'skill'];
const inputSchema = z.record(z.string(), z.unknown()).catch({});

/** `Bash: npm test`, `Reads notes.md`: what a tool call is about, for a person. */
export function describeToolUse(tool: string, input: unknown): string {
  const fields = inputSchema.parse(input);
  const subject = subjects.map((name) => fields[name]).find((value) => typeof value === 'string');
  const verb = verbs[tool] ?? `Uses ${tool.replace(/^mcp__\w+?__/, '')}`;
  return `${verb} ${subject ?? ''}`.replace(/\s+/g, ' ').trim();
}
