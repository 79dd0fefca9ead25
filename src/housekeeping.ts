/** The hourly sweep: rows and files that have ended and outlived their use are removed. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';
import { retention } from './config.ts';
import { isFilePending } from './db/outbox.ts';
import { removeExpired } from './db/retention.ts';

/** Sweeps now and then again and again; returns the way to stop. */
export function sweepRegularly(deps: Base): () => void {
  let cancel = () => {};
  const sweep = () => {
    try {
      removeExpired(deps.store, deps.clock.now());
      removeSentFiles(deps);
    } catch (error) {
      deps.log.error({ err: error }, 'the sweep failed');
    }
    cancel = deps.clock.after(retention.sweepEveryMs, sweep);
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
