/**
 * Folders of the host that the owner lends to a group, if the allowlist permits it. No agent can
 * reach the allowlist. Refuses secrets, links, and the folders that the host itself needs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import type { Base } from '../../base.ts';
import { loadGroup } from '../../db/groups.ts';
import type { Mount } from '../../runtimes/container-spec.ts';
import { clip, quoted } from '../../text.ts';
import { UserError } from '../../types.ts';
import * as table from './store.ts';

type Host = Pick<Base, 'config' | 'store'>;

/** Never lent, in upper or lower case. The allowlist can only add names. */
const blockedNames = `
  .ssh .gnupg .aws .azure .kube .docker gcloud credentials
  .env .env.* .netrc .npmrc .git-credentials id_rsa* id_ed25519*
  *.pem *.key *.kdbx keyrings .mozilla google-chrome* chromium`
  .trim()
  .split(/\s+/);
const systemFolders = ['/boot', '/dev', '/etc', '/proc', '/run', '/sys', '/usr'];
const lookTimeoutMs = 2000;
const quotedNameMax = 100;

const allowlistSchema = z.strictObject({
  roots: z.array(z.strictObject({ path: z.string(), write: z.boolean().default(false) })),
  blocked: z.array(z.string().min(1)).default([]),
});

export interface Grant {
  folder: string;
  path: string;
  readOnly: boolean;
}

/** Lends a folder from the group's next container on. Returns the answer. Throws UserError. */
export function grantFolder({ config, store }: Host, { folder, path, readOnly }: Grant): string {
  const { uid } = loadGroup(store, folder);
  const source = admit(config, path, readOnly);
  const name = basename(source).replace(/[^\p{L}\p{N}._-]+/gu, '-');
  for (const other of table.listExtraMounts(store)) {
    const isNested = isWithin(source, other.source) || isWithin(other.source, source);
    if (other.folder === folder && other.name === name)
      throw new UserError(`${describe(other)} already. To change that, /unmount it first.`);
    // An agent that can write the outer folder could replace the inner one with a link.
    if (isNested && source !== other.source && !(readOnly && other.readOnly))
      throw new UserError(`One lies in the other, so both must be read-only: ${describe(other)}.`);
  }
  const grant = { folder, name, source, readOnly };
  table.saveExtraMount(store, grant);
  const note = process.getuid?.() === 0 ? ` Its files must be open to uid ${uid}.` : '';
  return `From now on ${describe(grant)}.${note}`;
}

/** Takes a folder back. Returns the answer. Throws UserError if it is not lent. */
export function revokeFolder({ store }: Host, folder: string, name: string): string {
  if (!table.deleteExtraMount(store, folder, name))
    throw new UserError(
      `"${folder}" sees no folder named "${name}". ${listGrants({ store }).join('; ')}`,
    );
  return `${folder} no longer sees ${inside(name)}.`;
}

/** One line for each folder that is lent. */
export function listGrants({ store }: Pick<Host, 'store'>): string[] {
  return table.listExtraMounts(store).map(describe);
}

/**
 * The group's folders that still pass the checks; calls `refused` for each of the others. A source is
 * a real path, and no agent can write the folders above it, so the runtime opens what was checked.
 */
export function extraMountsFor(
  { config, store }: Host,
  folder: string,
  refused: (source: string, reason: string) => void,
): Mount[] {
  const grants = table.listExtraMounts(store).filter((grant) => grant.folder === folder);
  return grants.flatMap((grant) => {
    const { name, source, readOnly } = grant;
    try {
      if (admit(config, source, readOnly) !== source) throw new Error('it is a link now');
      return [{ source, target: inside(name), readOnly }];
    } catch (error) {
      refused(source, `${describe(grant)}, but does not for now: ${(error as Error).message}`);
      return [];
    }
  });
}

function describe({ folder, name, source, readOnly }: table.ExtraMount): string {
  return `${folder} may ${readOnly ? 'read' : 'read and write'} ${source} as ${inside(name)}`;
}

function inside(name: string): string {
  return join('/workspace/extra', name);
}

/**
 * Returns the real path of a folder that may be lent. It lies below a root and apart from the host's
 * own folders. Neither a part of the path nor anything down to three levels below it is blocked, a
 * socket or a pipe; deeper levels are not searched. Throws UserError.
 */
function admit({ allowlistPath, ...config }: Base['config'], path: string, readOnly: boolean) {
  const refuse = (reason: string): never => {
    throw new UserError(`${path} cannot be lent: ${reason}.`);
  };
  const { roots, blocked } = loadAllowlist(allowlistPath);
  const real = realPath(path);
  if (!existsSync(`${real}/.`)) refuse('there is no such folder');
  const around = roots.filter((root) => isWithin(real, realPath(root.path)));
  if (!around.some(({ write }) => write || readOnly))
    refuse(`no root in ${allowlistPath} lets it be ${readOnly ? 'read' : 'written'}`);
  const own = [config.projectDir, config.homeDir, dirname(allowlistPath)];
  const apart = [...own, dirname(process.execPath), ...systemFolders].map(realPath);
  if (
    apart.some((folder) => isWithin(real, folder)) ||
    [...apart, realPath('~')].some((folder) => isWithin(folder, real))
  )
    refuse('it is or holds your home, or belongs to the system or to me');
  // An engine's command line would read the rest of such a path as options.
  if (/[,"\p{Cc}]/u.test(real)) refuse('its path has a comma, quote or control character');
  const secrets = [...blockedNames, ...blocked].flatMap((name) => [
    '-o',
    '-iname',
    name,
    '-o',
    '-ipath',
    `*/${name}/*`,
  ]);
  // A read-only mount does not keep an agent from writing to a socket or a pipe.
  const tests = ['(', '-type', 's', '-o', '-type', 'p', ...secrets, ')', '-print', '-quit'];
  const args = [`${real}/.`, '-maxdepth', '3', ...tests];
  const { error, stdout } = spawnSync('find', args, { timeout: lookTimeoutMs, encoding: 'utf8' });
  if (error) refuse(`it cannot be looked through (${error.message})`);
  if (stdout)
    refuse(
      `${quoted(clip(stdout.slice(real.length + 3, -1) || real, quotedNameMax))} has a secret's name, or is a socket or a pipe`,
    );
  return real;
}

/** Throws UserError, which says what is wrong and shows a valid file. */
export function loadAllowlist(path: string): z.infer<typeof allowlistSchema> {
  try {
    const stats = statSync(path);
    const isOwn = stats.uid === 0 || stats.uid === process.getuid?.();
    // Reading a pipe would block until somebody writes to it.
    if (!stats.isFile() || !isOwn || (stats.mode & 0o022) !== 0)
      throw new Error('it must be a file of yours that nobody else can write: chmod 600');
    return allowlistSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const example = '{"roots":[{"path":"~/Documents","write":false}]}';
    const reason = !existsSync(path)
      ? 'there is no such file yet'
      : cause instanceof z.ZodError
        ? z.prettifyError(cause)
        : (cause as Error).message;
    throw new UserError(`${path} must say what may be lent, such as ${example}: ${reason}`);
  }
}

/** Relative to the owner's home, with or without `~`. */
export function realPath(path: string): string {
  const absolute = resolve(homedir(), path.replace(/^~\/?/, ''));
  return existsSync(absolute) ? realpathSync.native(absolute) : absolute;
}

function isWithin(path: string, folder: string): boolean {
  return `${path}/`.startsWith(folder === '/' ? folder : `${folder}/`);
}
