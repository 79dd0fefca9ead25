/**
 * vitest's workers, one process a test file, each with an internet of its own where that can be
 * had. So files that run at once never meet at a port or at the name server.
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

  /** fork() starts the program of process.execPath, and vitest has no setting for another one. */
  start() {
    const node = process.execPath;
    process.execPath = launcher;
    try {
      return super.start(); // it forks before it first waits
    } finally {
      process.execPath = node;
    }
  }
}
