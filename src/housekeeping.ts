/** The hourly sweep: rows and files that have ended and outlived their use are removed. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';
import { retention } from './config.ts';
import { isFilePending } from './db/outbox.ts';
import { removeExpired } from './db/retention.ts';

/** Sweeps now and then again and again; returns the way to stop. */
export function sweepRegularly(base: Base): () => void {
  let cancel = () => {};
  const sweep = () => {
    try {
      removeExpired(base.store, base.clock.now());
      removeSentFiles(base);
    } catch (error) {
      base.log.error({ err: error }, 'the sweep failed');
    }
    cancel = base.clock.after(retention.sweepEveryMs, sweep);
  };
  sweep();
  return () => cancel();
}

/** The host's copies of files that agents have sent. */
function removeSentFiles({ config, clock, store }: Base): void {
  const dir = join(config.dataDir, 'files');
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const isOld = statSync(path).mtimeMs < clock.now() - retention.filesMs;
    if (isOld && !isFilePending(store, path)) rmSync(path);
  }
}
