import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../test/support/store.ts';
import { type Config, loadConfig } from './config.ts';
import { admitFolder } from './extra-mounts.ts';
import { UserError } from './types.ts';

const asRoot = process.getuid?.() === 0;
/** The owner's folders, with one root that may be read and one that may be written. */
let owner: string;
let config: Config;

beforeEach(() => {
  const dir = temporaryFolder();
  owner = join(dir, 'ann');
  for (const name of ['Photos/2024', 'Work', 'project', 'state'])
    mkdirSync(at(name), { recursive: true });
  config = loadConfig(
    { XDG_CONFIG_HOME: join(dir, 'config'), NANOCLAW_HOME: at('state') },
    at('project'),
  );
  allow({ roots: [{ path: owner }, { path: at('Work'), write: true }] });
});

function at(...names: string[]): string {
  return join(owner, ...names);
}

function allow(allowlist: unknown): void {
  mkdirSync(dirname(config.allowlistPath), { recursive: true });
  writeFileSync(config.allowlistPath, JSON.stringify(allowlist), { mode: 0o600 });
}

function put(...names: string[]): void {
  mkdirSync(dirname(at(...names)), { recursive: true });
  writeFileSync(at(...names), '');
}

/** What the refusal says; '' when the folder may be lent. */
function refusal(path: string, readOnly = true): string {
  try {
    admitFolder(config, path, readOnly);
    return '';
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

describe('the allowlist', () => {
  test('lies where the owner keeps settings, apart from project and state', () => {
    const usual = loadConfig({}, at('project')).allowlistPath;
    expect(usual).toBe(join(homedir(), '.config/nanoclaw/mount-allowlist.json'));
    expect(config.allowlistPath).toBe(join(owner, '../config/nanoclaw/mount-allowlist.json'));
  });

  test('that is missing lets nothing be lent, and the refusal shows how to make one', () => {
    rmSync(config.allowlistPath);
    expect(refusal(at('Photos'))).toContain(config.allowlistPath);
    expect(refusal(at('Photos'))).toContain('{"roots":[{"path":"~/Documents","write":false}]}');
  });

  test.each([0o620, 0o602, 0o666])('that others can write (%o) counts for nothing', (mode) => {
    chmodSync(config.allowlistPath, mode);
    expect(refusal(at('Photos'))).toContain('nobody else can write');
  });

  test.skipIf(!asRoot)('of somebody else counts for nothing', () => {
    chownSync(config.allowlistPath, 1234, 0);
    expect(refusal(at('Photos'))).toContain('nobody else can write');
  });

  test.each([
    ['no list', { roots: 'everything' }],
    ['a word that means nothing', { roots: [], readonly: true }],
    ['half a file', undefined],
  ])('with %s is refused as it is', (_, content) => {
    allow(content ?? {});
    if (content === undefined) writeFileSync(config.allowlistPath, '{"roots": [');
    expect(refusal(at('Photos'))).toContain(config.allowlistPath);
  });

  test('that is a pipe keeps nobody waiting', () => {
    rmSync(config.allowlistPath);
    execFileSync('mkfifo', ['-m', '600', config.allowlistPath]);
    expect(refusal(at('Photos'))).toContain(config.allowlistPath);
  });
});

describe('a folder may be lent', () => {
  test('below a root, by its real path', () => {
    expect(admitFolder(config, `${at('Photos')}/../Photos/2024/`, true)).toBe(at('Photos/2024'));
    symlinkSync(at('Photos/2024'), at('latest'));
    expect(admitFolder(config, at('latest'), true)).toBe(at('Photos/2024'));
  });

  test('to be written only where a root says so', () => {
    expect(refusal(at('Work'), false)).toBe('');
    expect(refusal(at('Photos'), false)).toContain('lets it be written');
  });

  test('with links in it, which lead nowhere inside a container', () => {
    symlinkSync('/etc/shadow', at('Photos/shadow'));
    expect(refusal(at('Photos'))).toBe('');
  });

  test('named as people do, with ~', () => {
    const place = join(homedir(), `nanoclaw-test-${process.pid}`);
    mkdirSync(place);
    onTestFinished(() => rmSync(place, { recursive: true }));
    allow({ roots: [{ path: `~/nanoclaw-test-${process.pid}` }] });
    expect(admitFolder(config, `~/nanoclaw-test-${process.pid}`, true)).toBe(place);
  });

  test('although another root is not there', () => {
    allow({ roots: [{ path: at('drive') }, { path: at('Photos') }] });
    expect(refusal(at('Photos'))).toBe('');
  });
});

describe('a folder is refused', () => {
  test('outside every root, also by .. or a link that leads out', () => {
    allow({ roots: [{ path: at('Photos') }] });
    symlinkSync(at('Work'), at('Photos/out'));
    mkdirSync(at('Photos-private'));
    for (const name of ['Work', 'Photos/../Work', 'Photos/out', 'Photos-private'])
      expect(refusal(`${owner}/${name}`), name).toContain('lets it be read');
  });

  test('that is not there, or a file', () => {
    put('Photos/a.jpg');
    expect(refusal(at('Nothing'))).toContain('ENOENT');
    expect(refusal(at('Photos/a.jpg'))).toContain('ENOTDIR');
  });

  test.each(['/', '/etc', '/etc/ssl', '/proc', '/sys', '/dev', '/run', '/usr', '/usr/local', '~'])(
    'when it is %s, whatever the roots are',
    (path) => {
      allow({ roots: [{ path: '/', write: true }] });
      expect(refusal(path)).toContain('belongs to the system or to me');
    },
  );

  test('when it is, holds or lies in the program, the state or the allowlist', () => {
    allow({ roots: [{ path: '/' }] });
    mkdirSync(at('state/groups/family'), { recursive: true });
    const allowlistDir = dirname(config.allowlistPath);
    const paths = [owner, at('project'), at('state'), at('state/groups/family')];
    for (const path of [...paths, allowlistDir, dirname(allowlistDir), dirname(process.execPath)])
      expect(refusal(path), path).toContain('belongs to the system or to me');
  });

  test.each(['.ssh', '.SSH', '.aws', '.config/gcloud', '.docker/run', 'x/credentials/y'])(
    'when %s is part of its path',
    (name) => {
      mkdirSync(at(name), { recursive: true });
      expect(refusal(at(name))).toContain('is blocked');
    },
  );

  test.each(['.env', '.env.local', '.git-credentials', 'id_rsa.bak', 'a/server.pem', 'a/b/.npmrc'])(
    'when it holds %s',
    (name) => {
      put('Work', name);
      expect(refusal(at('Work'))).toContain(`${name} is blocked`);
      expect(refusal(at('Photos'))).toBe('');
    },
  );

  test('when a link in its path hides a blocked name', () => {
    mkdirSync(at('.ssh'));
    symlinkSync(at('.ssh'), at('Photos/keys'));
    expect(refusal(at('Photos/keys'))).toContain('is blocked');
  });

  test('for names that the owner has added', () => {
    allow({ roots: [{ path: owner }], blocked: ['diary*'] });
    put('Work/Diary 2024.txt');
    expect(refusal(at('Work'))).toContain('Diary 2024.txt is blocked');
  });

  test('when a program of the host listens in it, or reads a pipe', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('Work/engine'), resolve));
    onTestFinished(() => void server.close());
    expect(refusal(at('Work'))).toContain('engine is blocked');
    execFileSync('mkfifo', [at('Photos/pipe')]);
    expect(refusal(at('Photos'))).toContain('pipe is blocked');
  });

  test.each(['a,readonly=false', 'a"b', 'a\nb'])(
    'when its path would confuse an engine: %j',
    (name) => {
      mkdirSync(at('Work', name));
      expect(refusal(at('Work', name))).toContain('comma, quote');
    },
  );
});
