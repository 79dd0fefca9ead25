/** The state's folders: made when missing, closed to others, groups/ filled from the templates. */
import { chmodSync, cpSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.ts';
import { UserError } from './types.ts';

/** Memory files that come with the program. */
const templates = ['main/CLAUDE.md', 'global/CLAUDE.md'];

/** Throws UserError when the state folder cannot be written. */
export function prepareState(config: Config): void {
  try {
    for (const dir of [config.storeDir, config.dataDir, config.groupsDir]) {
      mkdirSync(dir, { recursive: true });
      // Not least, no other user of the host can run what an agent marks set-uid.
      chmodSync(dir, 0o700);
    }
    for (const template of templates) {
      const target = join(config.groupsDir, template);
      if (!existsSync(target)) cpSync(join(config.projectDir, 'groups', template), target);
    }
  } catch (error) {
    throw new UserError(`The state folder ${config.homeDir} cannot be used: ${String(error)}`);
  }
}
