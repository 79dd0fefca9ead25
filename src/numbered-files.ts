/** Folders of numbered files, by which host and container speak: each file is whole or absent. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `7` becomes `000007.json`. */
export function numberedFileName(number: number): string {
  return `${String(number).padStart(6, '0')}.json`;
}

/** Undefined for a name that `numberedFileName` does not make. */
export function fileNumber(name: string): number | undefined {
  const number = Number.parseInt(name, 10);
  return numberedFileName(number) === name ? number : undefined;
}

/**
 * Throws when the disk is full. It is not flushed: its reader dies with the machine, and what was
 * not applied by then is done again.
 */
export function writeNumberedFile(dir: string, number: number, json: string): void {
  const path = join(dir, numberedFileName(number));
  writeFileSync(`${path}.tmp`, json);
  renameSync(`${path}.tmp`, path);
}
