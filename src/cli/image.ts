/**
 * The image of the agents' containers, at the command line: `npm run image` builds it, whether or
 * not it is there; `npm start` builds it where it is missing or not up to date.
 */
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { usualEngines } from '../runtimes/engines.ts';
import {
  buildImage,
  engineOf,
  ensureImage,
  findAnswering,
  isImageSettled,
  remindOfFailure,
} from '../runtimes/image.ts';
import { UserError } from '../types.ts';

export const imageUsage = `NANOCLAW_RUNTIME=${usualEngines.join('|')} npm run image`;

/** Throws UserError when no engine can build it. */
export async function image(config: Config): Promise<number> {
  const { runtime } = config;
  const named = runtime === null ? undefined : engineOf(runtime);
  if (runtime !== null && named === undefined)
    throw new UserError(
      `no image is made for NANOCLAW_RUNTIME=${runtime}; only for engines: ${imageUsage}`,
    );
  const { engine, complaints } = await findAnswering(config, named ? [named] : usualEngines);
  if (!engine)
    throw new UserError(`no engine answers, so no image is built.
${complaints.join('\n')}
Without an engine none is needed: agents then run in bubblewrap. \`npm run doctor\` tells more.`);
  await buildImage(engine.name, config, true);
  return 0;
}

/** Of scripts/, which is no TypeScript. */
interface SetUpLock {
  withLock(projectDir: string, work: () => Promise<void>): Promise<void>;
}

/** What a start does about the image; of two starts at once, one builds it. */
export async function prepareImage(config: Config): Promise<void> {
  if (isImageSettled(config)) return remindOfFailure(config);
  const { withLock }: SetUpLock = await import(join(config.projectDir, 'scripts/lock.mjs'));
  await withLock(config.projectDir, async () => {
    if (!isImageSettled(config)) await ensureImage(config);
  });
}
