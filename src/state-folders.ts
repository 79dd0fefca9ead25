/**
 * The state's folders: made when missing, closed to other users, used by one host at a time. The
 * local socket is the lock.
 */
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import type { Config } from './config.ts';
import type { Store } from './db.ts';
import { UserError } from './types.ts';

/** Longest path of a Unix socket (sun_path) on Linux and macOS, less the final zero. */
const socketPathBytesMax = 103;

/** Makes the folders. Throws UserError when it cannot. */
export function prepareState(config: Config): void {
  try {
    const { storeDir, dataDir, filesDir, logsDir, trashDir, groupsDir } = config;
    for (const dir of [storeDir, dataDir, filesDir, logsDir, trashDir, groupsDir]) {
      mkdirSync(dir, { recursive: true });
      // This also keeps other users of the host from running a set-uid file that an agent has made.
      chmodSync(dir, 0o700);
    }
  } catch (error) {
    throw new UserError(`The state folder ${config.homeDir} cannot be used: ${error}`);
  }
}

/** Resolves to the listening socket (0600). Throws UserError when another host runs. */
export async function claimSocket(path: string, store: Store): Promise<Server> {
  if (Buffer.byteLength(path) > socketPathBytesMax)
    throw new UserError(
      `The state folder's path is too long for a socket (${path}). Set NANOCLAW_HOME to a shorter one.`,
    );
  // Exclusive, because two hosts that start at once could both find the socket dead and take it.
  return store.exclusive(async () => {
    await refuseSecond(path);
    rmSync(path, { force: true });
    const server = createServer().listen(path);
    await once(server, 'listening');
    chmodSync(path, 0o600);
    return server;
  });
}

/** Throws UserError when a host runs, whose store and memory must not be touched. */
export async function refuseSecond(socketPath: string): Promise<void> {
  if (await isAnswered(socketPath))
    throw new UserError(
      'NanoClaw already runs on this state. `npm run chat` attaches to it; stop it before you start another.',
    );
}

/** Whether a host runs on the socket. */
export async function isAnswered(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // ENOENT: never started; ECONNREFUSED: its host died.
  } finally {
    socket.destroy();
  }
}
