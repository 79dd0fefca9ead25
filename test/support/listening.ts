/** The TCP ports on which this process listens; what others on the machine do is not its doing. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** As `/proc/net/tcp` writes addresses. */
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
    return ''; // ENOENT: closed since it was listed.
  }
}
