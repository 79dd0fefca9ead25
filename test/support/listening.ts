/** The TCP ports on which this process listens. Ports of other processes do not count. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Addresses in the notation of `/proc/net/tcp`. */
export function listeningAddresses(): string[] {
  const ours = readdirSync('/proc/self/fd').map((fd) => readlink(`/proc/self/fd/${fd}`));
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(
        ([, , , state, , , , , , inode]) => state === '0A' && ours.includes(`socket:[${inode}]`),
      )
      .map(([, address = '']) => address),
  );
}

function readlink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // ENOENT: closed after it was listed.
  }
}
