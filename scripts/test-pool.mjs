/**
 * vitest's workers, one process per test file, each with an internet of its own where that is
 * possible. So files that run at once share neither ports nor the name server.
 */
import { ForksPoolWorker } from 'vitest/node';
import { internetComplaint, launcher } from './own-internet.mjs';

/** For vitest's setting `pool`. */
export async function testPool() {
  if (await internetComplaint()) return 'forks';
  return {
    name: 'forks with an internet of their own',
    createPoolWorker: (options) => new OwnInternetWorker(options),
  };
}

class OwnInternetWorker extends ForksPoolWorker {
  constructor(options) {
    super({ ...options, env: { ...options.env, NANOCLAW_TEST_NODE: process.execPath } });
  }

  /** fork() starts process.execPath, and vitest has no setting for another program. */
  start() {
    const node = process.execPath;
    process.execPath = launcher;
    try {
      return super.start(); // it forks before its first await
    } finally {
      process.execPath = node;
    }
  }
}
