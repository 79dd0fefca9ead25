/** The state folder and what lies in it. Creates and changes no file. */
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DatabaseSync } from '@photostructure/sqlite';
import { storePath } from '../../channels/whatsapp/linked.ts';
import { type Config, defaultLimits } from '../../config.ts';
import { migrations } from '../../db/migrations.ts';
import { loadAllowlist, realPath } from '../../features/mounts/extra-mounts.ts';
import { isAnswered } from '../../state-folders.ts';
import { type Check, type Finding, linesOf, missing, note, ok } from './finding.ts';

export function stateChecks(config: Config): Check[] {
  return [
    ['state folder', () => stateFolder(config)],
    ['free disk', () => freeDisk(config)],
    ['database', () => database(join(config.storeDir, 'nanoclaw.db'))],
    ['host', () => runningHost(config.socketPath)],
    ['WhatsApp', () => whatsApp(config)],
    ['extra folders', () => extraFolders(config)],
  ];
}

function stateFolder({ homeDir, storeDir, dataDir, groupsDir }: Config): Finding {
  const nearest = firstThatIs(homeDir);
  const uid = process.getuid?.() ?? 0;
  if (!canWrite(nearest))
    return missing(`${nearest} cannot be written`, 'Set NANOCLAW_HOME to a folder of yours.');
  const folders = [storeDir, dataDir, groupsDir].filter((folder) => existsSync(folder));
  // Root may enter every folder, and gives the groups' folders to other users.
  const foreign = folders.filter((folder) => uid !== 0 && statSync(folder).uid !== uid);
  if (foreign.length > 0)
    return missing(
      `${foreign.join(', ')}: of another user`,
      `sudo chown -R ${uid} ${foreign.join(' ')}   (or start NanoClaw as that user)`,
    );
  if (!folders.includes(storeDir)) return ok(`${homeDir}; the first start fills it`);
  const open = folders.filter((folder) => (statSync(folder).mode & 0o077) !== 0);
  if (open.length > 0)
    return note(
      `other users can enter ${open.join(', ')}`,
      `chmod 700 ${open.join(' ')}   (the next start does it, too)`,
    );
  return ok(`${homeDir}, closed to others`);
}

function freeDisk({ homeDir }: Config): Finding {
  const { bavail, bsize } = statfsSync(firstThatIs(homeDir));
  const says = `${((bavail * bsize) / 1024 ** 3).toFixed(1)} GiB`;
  return bavail * bsize >= defaultLimits.diskFreeBytesMin
    ? ok(says)
    : note(says, 'Make room: messages, logs and what agents write need it.');
}

function firstThatIs(path: string): string {
  return existsSync(path) ? path : firstThatIs(dirname(path));
}

function canWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false; // EACCES, or EROFS.
  }
}

function database(path: string): Finding {
  if (!existsSync(path)) return ok('none yet; the first start makes it');
  const row = askStore<{ user_version: number }>(path, 'PRAGMA user_version');
  const version = row?.user_version ?? 0;
  if (version > migrations.length)
    return missing(
      `of version ${version}, and this program knows ${migrations.length}`,
      'Update NanoClaw: a newer one wrote it.',
    );
  const isOld = version < migrations.length;
  return ok(`version ${version}${isOld ? `; the next start makes it ${migrations.length}` : ''}`);
}

/** The first row. Opens the database by itself, because `Store` would migrate its tables. */
function askStore<Row>(path: string, sql: string): Row | undefined {
  // Without a write-ahead log nobody has it open, and `immutable` reads it without creating one.
  const url = pathToFileURL(path);
  if (!existsSync(`${path}-wal`)) url.search = 'immutable=1';
  const db = new DatabaseSync(url, { readOnly: true });
  try {
    return db.prepare(sql).get() as Row | undefined;
  } finally {
    db.close();
  }
}

async function runningHost(socketPath: string): Promise<Finding> {
  return (await isAnswered(socketPath))
    ? ok('runs; `npm run chat` attaches to it')
    : ok('none runs; `npm start` starts it');
}

/** Reads the channel's own store. Opening it as the channel does would change it. */
function whatsApp(config: Config): Finding {
  const { version } = JSON.parse(
    readFileSync(join(config.projectDir, 'node_modules/baileys/package.json'), 'utf8'),
  );
  const path = storePath(config);
  const sql = `SELECT (SELECT value FROM meta WHERE key = 'mode') AS mode,
    (SELECT value FROM keys WHERE type = 'creds') AS creds`;
  const row = existsSync(path)
    ? askStore<{ mode: string | null; creds: string | null }>(path, sql)
    : undefined;
  const isPaired = JSON.parse(row?.creds ?? '{}').account !== undefined;
  if (isPaired && row?.mode) return ok(`linked, as mode "${row.mode}", by Baileys ${version}`);
  return isPaired
    ? note('a link was begun and not finished', 'npm run unlink, then npm run link')
    : ok(`not linked; \`npm run link\` does it, by Baileys ${version}`);
}

/** What the owner may lend to agents. Nothing is lent while the file cannot be read. */
function extraFolders({ allowlistPath }: Config): Finding {
  if (!existsSync(allowlistPath)) return ok(`none can be lent to agents: no ${allowlistPath}`);
  try {
    const { roots } = loadAllowlist(allowlistPath);
    const absent = roots.filter(({ path }) => !existsSync(`${realPath(path)}/.`));
    if (absent.length > 0)
      return note(
        `nothing can be lent of ${absent.map(({ path }) => path).join(', ')}: no such folder`,
        `Make it, or put its right name into ${allowlistPath}`,
      );
    const paths = roots.map(({ path, write }) => (write ? `${path} (also to be written)` : path));
    return ok(`can be lent: what lies in ${paths.join(', ') || 'no folder'}`);
  } catch (error) {
    return note('none can be lent to agents', linesOf(error).join('\n'));
  }
}
