/**
 * One host per state folder: the local socket is the lock. A socket whose host has died is
 * recovered; starters take turns under the store's write lock, so that no two of them can
 * both find it dead.
 */
import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import type { Store } from './db.ts';
import { UserError } from './types.ts';

/** Longest path of a Unix socket (sun_path) on Linux and macOS, less the final zero. */
const pathBytesMax = 103;

/** Resolves to the listening socket (0600). Throws UserError when another host runs. */
export async function claimSocket(path: string, store: Store): Promise<Server> {
  if (Buffer.byteLength(path) > pathBytesMax)
    throw new UserError(
      `The state folder's path is too long for a socket (${path}). Set NANOCLAW_HOME to a shorter one.`,
    );
  return store.exclusive(async () => {
    if (await isAnswered(path))
      throw new UserError(
        'NanoClaw already runs on this state. `npm run chat` attaches to it; stop it before you start another.',
      );
    rmSync(path, { force: true });
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => resolve());
    });
    chmodSync(path, 0o600);
    return server;
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // ENOENT: never started; ECONNREFUSED: its host died.
    socket.on('error', () => resolve(false));
  });
}
