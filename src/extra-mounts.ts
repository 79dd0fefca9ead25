/**
 * Folders of the host that the owner lends to a group, if the allowlist, which lies where no
 * agent comes, lets them. Refuses secrets, links, and what the host lives on.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { Config } from './config.ts';
import { UserError } from './types.ts';

/** Never lent; `find` matches them in any case. The allowlist can only add to them. */
const blockedNames = [
  ...['.ssh', '.gnupg', '.aws', '.azure', '.kube', '.docker', 'gcloud', 'credentials'],
  ...['.env', '.env.*', '.netrc', '.npmrc', '.git-credentials', 'id_rsa*', 'id_ed25519*'],
  ...['*.pem', '*.key', '*.kdbx', 'keyrings', '.mozilla', 'google-chrome*', 'chromium'],
];
const systemFolders = ['/boot', '/dev', '/etc', '/proc', '/run', '/sys', '/usr'];
const lookTimeoutMs = 2000;

const allowlistSchema = z.strictObject({
  roots: z.array(z.strictObject({ path: z.string(), write: z.boolean().default(false) })),
  blocked: z.array(z.string().min(1)).default([]),
});

/**
 * The folder's real path, if it may be lent; throws UserError with the reason if not. What holds:
 * it lies below a root and apart from the host's own folders, and neither a part of its path nor
 * anything down to three levels below it is blocked, a socket or a pipe. Deeper down nobody looks.
 */
export function admitFolder(config: Config, path: string, readOnly: boolean): string {
  try {
    return admit(config, path, readOnly);
  } catch (cause) {
    throw new UserError(`${path} cannot be lent: ${String(cause).slice(0, 500)}`, { cause });
  }
}

function admit({ allowlistPath, ...config }: Config, path: string, readOnly: boolean): string {
  const { roots, blocked } = loadAllowlist(allowlistPath);
  const real = realPath(path);
  statSync(`${real}/.`);
  const around = roots.filter((root) => isWithin(real, realPath(root.path)));
  if (!around.some(({ write }) => write || readOnly))
    throw new Error(`no root in ${allowlistPath} lets it be ${readOnly ? 'read' : 'written'}`);
  const own = [config.projectDir, config.homeDir, dirname(allowlistPath)];
  const apart = [...own, dirname(process.execPath), ...systemFolders].map(realPath);
  if (
    apart.some((folder) => isWithin(real, folder)) ||
    [...apart, realPath('~')].some((folder) => isWithin(folder, real))
  )
    throw new Error('it is or holds your home, or belongs to the system or to me');
  // An engine's command line would read the rest of such a path as options.
  if (/[,"\p{Cc}]/u.test(real)) throw new Error('its path has a comma, quote or control character');
  const secrets = [...blockedNames, ...blocked].flatMap((name) => [
    ...['-o', '-iname', name, '-o', '-ipath', `*/${name}/*`],
  ]);
  // A read-only mount keeps nobody from talking through a socket or a pipe.
  const tests = ['(', '-type', 's', '-o', '-type', 'p', ...secrets, ')', '-print', '-quit'];
  const options = { encoding: 'utf8', timeout: lookTimeoutMs } as const;
  const look = spawnSync('find', [`${real}/.`, '-maxdepth', '3', ...tests], options);
  if (look.error) throw look.error;
  if (look.stdout) throw new Error(`${look.stdout.trim()} is blocked`);
  return real;
}

function loadAllowlist(path: string): z.infer<typeof allowlistSchema> {
  try {
    const stats = statSync(path);
    const isOwn = stats.uid === 0 || stats.uid === process.getuid?.();
    // To read a pipe would wait for its writer.
    if (!stats.isFile() || !isOwn || (stats.mode & 0o022) !== 0)
      throw new Error('not a file that nobody else can write: chown it to you, and chmod 600');
    return allowlistSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const example = '{"roots":[{"path":"~/Documents","write":false}]}';
    throw new Error(`${path} must say what may be, such as ${example} (${cause})`, { cause });
  }
}

/** Relative to the owner's home, with or without `~`. */
function realPath(path: string): string {
  const absolute = resolve(homedir(), path.replace(/^~\/?/, ''));
  return existsSync(absolute) ? realpathSync.native(absolute) : absolute;
}

function isWithin(path: string, folder: string): boolean {
  return `${path}/`.startsWith(folder === '/' ? folder : `${folder}/`);
}
