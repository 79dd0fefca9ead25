/**
 * What every agent is told, from container/instructions/. It becomes the system prompt, so it
 * holds nothing that differs by group or turn: agents with the same tools share its cached bytes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.ts';

export interface Instructions {
  everyone: string;
  main: string;
}

/** Reads the texts. Throws when one is missing: the program is not whole then. */
export function loadInstructions({ projectDir, assistantName }: Config): Instructions {
  const load = (name: string) =>
    readFileSync(join(projectDir, 'container/instructions', `${name}.md`), 'utf8')
      .replaceAll('{name}', assistantName)
      .trim();
  return { everyone: load('everyone'), main: load('main') };
}

/** The system prompt of an agent: what everyone is told, then the texts for its tools, in order. */
export function instructionsFor({ everyone }: Instructions, further: readonly string[]): string {
  return [everyone, ...further].join('\n\n');
}
