/**
 * The doctor as a person starts it, on a project of its own, with the sources of this project but
 * with its own scripts, `.env` and state.
 */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Internet, needsInternet } from '../../test/internet/internet.ts';
import { page } from '../../test/internet/pages.ts';
import { HostProcess } from '../../test/support/host-process.ts';
import { WhatsAppStore } from '../channels/whatsapp/store.ts';

const realProject = resolve(import.meta.dirname, '../..');
const shared = 'src container groups node_modules package.json package-lock.json'.split(' ');
let project: string;
/** The state, and the folder of the person's settings. */
let home: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'doctor-'));
  chmodSync(project, 0o755);
  for (const name of shared) symlinkSync(join(realProject, name), join(project, name));
  cpSync(join(realProject, 'scripts'), join(project, 'scripts'), { recursive: true });
});
afterAll(() => rmSync(project, { recursive: true }));
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'doctor-home-'));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
  rmSync(join(project, '.env'), { force: true });
});

interface Options {
  args?: string[];
  environment?: Record<string, string>;
  /** A program and its arguments that start what follows. */
  inside?: string[];
}

/** Resolves to the exit status and the output. The machine has bubblewrap and no engine. */
function doctor({ args = [], environment = {}, inside = [] }: Options = {}) {
  const command = [process.execPath, join(project, 'scripts/start.mjs'), 'doctor', ...args];
  const [file = '', ...rest] = [...inside, ...command];
  const env = {
    PATH: '/usr/bin:/bin',
    NANOCLAW_HOME: home,
    NANOCLAW_RUNTIME: 'bubblewrap',
    XDG_CONFIG_HOME: home,
    ANTHROPIC_API_KEY: 'the-real-key',
    ...environment,
  };
  return new Promise<{ code: unknown; said: string; complained: string }>((resolve) => {
    execFile(file, rest, { env }, (error, said, complained) =>
      resolve({ code: error?.code ?? 0, said, complained }),
    );
  });
}

/** One finding in the words of the report, with its remedy. */
function line(said: string, verdict: string, name: string): string | undefined {
  return new RegExp(`^${verdict} +${name}  .*(\n {5,}.*)*`, 'm').exec(said)?.[0];
}

describe('a machine that has what is needed', () => {
  test('passes, with a container that was found sealed, and is left as it was', async () => {
    const { code, said } = await doctor();
    expect(said).toMatch(/Agents can run here, sealed\.$/m);
    expect(said).not.toMatch(/^missing/m);
    expect(line(said, 'ok', 'seal')).toMatch(/bubblewrap .*found sealed/);
    expect(line(said, 'ok', 'claude')).toMatch(/\d+\.\d+\.\d+ \(Claude Code\)/);
    expect(line(said, 'ok', 'runtime')).toMatch(/as NANOCLAW_RUNTIME says/);
    expect(code).toBe(0);
    expect(readdirSync(home)).toEqual([]);
    expect(existsSync(join(project, 'data'))).toBe(false);
  });

  test('is told where the credential comes from, and never the credential', async () => {
    const fromEnvironment = await doctor();
    writeFileSync(join(project, '.env'), 'ANTHROPIC_AUTH_TOKEN=the-real-key', { mode: 0o600 });
    const fromFile = await doctor({ environment: { ANTHROPIC_API_KEY: '' } });
    expect(line(fromEnvironment.said, 'ok', 'credential')).toMatch(/API_KEY, from the environment/);
    expect(line(fromFile.said, 'ok', 'credential')).toMatch(/AUTH_TOKEN, from .*\.env/);
    expect(line(fromFile.said, 'ok', '.env')).toMatch(/closed to others \(600\)/);
    expect(fromEnvironment.said + fromFile.said).not.toContain('the-real-key');
  });

  test('is told whether it is linked to WhatsApp', async () => {
    mkdirSync(join(home, 'store'), { mode: 0o700 });
    const store = new WhatsAppStore(join(home, 'store/whatsapp.db'));
    store.writeKey('creds', '', '{"account":{"details":"of it"}}');
    const begun = await doctor();
    store.set('mode', 'own');
    store.close();
    const linked = await doctor();
    expect(line(begun.said, 'note', 'WhatsApp')).toMatch(/not finished/);
    expect(line(linked.said, 'ok', 'WhatsApp')).toMatch(/linked, as mode "own", by Baileys \d/);
    expect([begun.code, linked.code]).toEqual([0, 0]);
  });

  test('is told which programs its agents lack, with one command that installs them', async () => {
    const hide = ['git', 'rg'].flatMap((name) => ['--ro-bind', '/dev/null', `/usr/bin/${name}`]);
    const { said } = await doctor({ inside: ['bwrap', '--dev-bind', '/', '/', ...hide, '--'] });
    expect(line(said, 'note', 'programs')).toMatch(
      /this machine's, which lacks git, ripgrep\n +(sudo )?apt-get install -y git ripgrep$/,
    );
    expect(line(said, 'ok', 'runtime')).toMatch(/this machine's programs, but no git, rg/);
    expect(line((await doctor()).said, 'ok', 'programs')).toMatch(/agents have curl, git, python3/);
  });

  test('tells a script the same', async () => {
    const { code, said } = await doctor({ args: ['--json', '--all'] });
    const { ready, findings } = JSON.parse(said);
    expect([code, ready]).toEqual([0, true]);
    expect(findings).toContainEqual(
      expect.objectContaining({ name: 'seal', verdict: 'ok', says: expect.any(String) }),
    );
  });
});

describe('what could be better is noted, and the machine passes', () => {
  test('no credential', async () => {
    const { code, said } = await doctor({ environment: { ANTHROPIC_API_KEY: '' } });
    expect(line(said, 'note', 'credential')).toMatch(/demo model.*Put ANTHROPIC_API_KEY=/s);
    expect(code).toBe(0);
  });

  test('an .env that others can read', async () => {
    writeFileSync(join(project, '.env'), 'ASSISTANT_NAME=Bo');
    chmodSync(join(project, '.env'), 0o644);
    const { code, said } = await doctor();
    expect(line(said, 'note', '.env')).toMatch(/\(644\)\n +chmod 600 .*\/\.env$/);
    expect(code).toBe(0);
  });

  test('an engine that hangs', async () => {
    writeFileSync(join(home, 'docker'), '#!/bin/sh\ntest "$1" = --version || exec sleep 1000\n');
    chmodSync(join(home, 'docker'), 0o755);
    const { code, said } = await doctor({ environment: { PATH: `${home}:/usr/bin:/bin` } });
    expect(line(said, 'note', 'docker')).toMatch(/does not answer within \d seconds/);
    expect(code).toBe(0);
  });

  test('an engine that cannot be used, by its error and not by a warning', async () => {
    const answer = 'echo "WARN: old" >&2; echo "Error: no storage" >&2; exit 1';
    writeFileSync(join(home, 'podman'), `#!/bin/sh\ntest "$1" = --version || { ${answer}; }\n`);
    chmodSync(join(home, 'podman'), 0o755);
    const { said } = await doctor({ environment: { PATH: `${home}:/usr/bin:/bin` } });
    expect(line(said, 'note', 'podman')).toMatch(/not usable: Error: no storage$/m);
  });

  test('state that others can enter', async () => {
    mkdirSync(join(home, 'store'), { mode: 0o755 });
    const { code, said } = await doctor();
    expect(line(said, 'note', 'state folder')).toMatch(/chmod 700 .*\/store/);
    expect(code).toBe(0);
  });
});

describe('the list of folders that may be lent', () => {
  const list = (text: string) => {
    mkdirSync(join(home, 'nanoclaw'));
    writeFileSync(join(home, 'nanoclaw/mount-allowlist.json'), text, { mode: 0o600 });
  };

  test('is shown', async () => {
    list('{"roots":[{"path":"~/Documents"},{"path":"/srv","write":true}]}');
    mkdirSync(join(home, 'Documents'));
    const { said } = await doctor({ environment: { HOME: home } });
    expect(line(said, 'ok', 'extra folders')).toMatch(/~\/Documents, \/srv \(also to be written\)/);
  });

  test('is noted when it names what is not there', async () => {
    list('{"roots":[{"path":"~/no-such-folder"},{"path":"/srv"}]}');
    const { code, said } = await doctor();
    expect(line(said, 'note', 'extra folders')).toMatch(/of ~\/no-such-folder: no such folder/);
    expect(code).toBe(0);
  });

  test('that is broken is noted, and the machine passes', async () => {
    list('{"roots":');
    const { code, said } = await doctor();
    expect(line(said, 'note', 'extra folders')).toMatch(/mount-allowlist\.json must say/);
    expect(code).toBe(0);
  });
});

describe('what keeps agents from running is missing', () => {
  /** A /usr/bin with a shell and node, in which nothing else is. */
  const bareMachine = [
    ['bwrap', '--dev-bind', '/', '/'],
    ['--tmpfs', '/usr/bin'],
    ['--ro-bind', realpathSync('/bin/sh'), '/usr/bin/sh'],
    ['--ro-bind', process.execPath, process.execPath],
    ['--'],
  ].flat();

  test('any container runtime', async () => {
    const { code, said } = await doctor({
      inside: bareMachine,
      environment: { NANOCLAW_RUNTIME: '' },
    });
    expect(line(said, 'missing', 'bubblewrap')).toMatch(
      /bwrap: not found.*\n +sudo apt-get install bubblew/,
    );
    expect(line(said, 'ok', 'docker')).toMatch(/not installed/);
    expect(line(said, 'missing', 'seal')).toMatch(/Install bubblewrap/);
    expect(said).toMatch(/Not ready/);
    expect(code).toBe(1);
  });

  test('leave to make namespaces, where bubblewrap would run', async () => {
    const confined = ['bwrap', '--dev-bind', '/', '/', '--unshare-user', '--uid', '1234'];
    const inside = [...confined, '--disable-userns', '--'];
    const { code, said } = await doctor({ inside });
    expect(line(said, 'missing', 'seal')).toMatch(/namespace.*reload apparmor/s);
    expect(said).not.toMatch(/apt-get install bubblewrap/);
    expect(code).toBe(1);
  });

  test('an .env that can be read', async () => {
    mkdirSync(join(project, '.env'));
    const folder = await doctor();
    rmSync(join(project, '.env'), { recursive: true });
    expect(line(folder.said, 'missing', '.env')).toMatch(/a folder, and no file\n.*rmdir/);
    expect(folder.code).toBe(1);
  });

  test('the runtime that the settings name', async () => {
    const unknown = await doctor({ environment: { NANOCLAW_RUNTIME: 'chroot' } });
    const absent = await doctor({
      inside: bareMachine,
      environment: { NANOCLAW_RUNTIME: 'docker' },
    });
    expect(line(unknown.said, 'missing', 'runtime')).toMatch(/"chroot"; it can be bubblewrap, do/);
    expect(line(absent.said, 'missing', 'runtime')).toMatch(/docker: it is not installed/);
    expect(line(absent.said, 'note', 'docker')).toMatch(/not installed/);
    expect([unknown.code, absent.code]).toEqual([1, 1]);
  });

  test('settings that can be read', async () => {
    const { code, said } = await doctor({ environment: { ANTHROPIC_BASE_URL: 'nonsense' } });
    expect(line(said, 'missing', 'settings')).toMatch(/ANTHROPIC_BASE_URL/);
    expect(code).toBe(1);
  });

  test('a store that this version can read', async () => {
    mkdirSync(join(home, 'store'), { mode: 0o700 });
    const store = new DatabaseSync(join(home, 'store/nanoclaw.db'));
    store.exec('PRAGMA journal_mode = WAL; PRAGMA user_version = 999');
    store.close();
    const before = readdirSync(join(home, 'store'));
    const { code, said } = await doctor();
    expect(readdirSync(join(home, 'store'))).toEqual(before);
    expect(line(said, 'missing', 'database')).toMatch(/version 999.*Update NanoClaw/s);
    expect(code).toBe(1);
  });
});

test('it tells of a host that runs, and does not disturb it', async () => {
  const host = new HostProcess({ NANOCLAW_HOME: home, NANOCLAW_RUNTIME: 'bubblewrap' });
  try {
    await host.says(/^state /m);
    const beside = await doctor();
    await host.kill();
    const after = await doctor();
    expect(line(beside.said, 'ok', 'host')).toMatch(/runs; `npm run chat`/);
    expect(line(beside.said, 'ok', 'database')).toMatch(/version \d+$/);
    expect(line(beside.said, 'ok', 'state folder')).toMatch(/closed to others/);
    expect(line(after.said, 'ok', 'host')).toMatch(/none runs/);
    expect(line(after.said, 'ok', 'database')).toMatch(/version \d+$/);
    expect([beside.code, after.code]).toEqual([0, 0]);
  } finally {
    await host.kill();
  }
});

test('it ends without a word when nobody reads on', async () => {
  const reader = ['/bin/sh', '-c', '{ "$@"; echo "status $?" >&2; } | head -n 1', 'sh'];
  const { said, complained } = await doctor({ inside: reader });
  expect(said).toMatch(/^ok +Node\.js .*\n$/);
  expect(complained).toBe('status 1\n');
});

describe('the way out', needsInternet, () => {
  const environment = { ANTHROPIC_BASE_URL: 'https://gateway.example' };

  test('is tried without a request', async () => {
    const internet = await Internet.start();
    const gateway = await internet.host('gateway.example', page('expensive'));
    const trust = { NODE_EXTRA_CA_CERTS: internet.authorityFile };
    const { said } = await doctor({ environment: { ...environment, ...trust } });
    expect(line(said, 'ok', 'model API')).toMatch(/gateway\.example answers/);
    expect(line(said, 'ok', 'name servers')).toMatch(/knows gateway\.example/);
    expect(gateway.requests).toEqual([]);
  });

  test('is noted when its certificate is a stranger', async () => {
    const internet = await Internet.start();
    await internet.host('gateway.example', page('expensive'));
    const { code, said } = await doctor({ environment });
    expect(line(said, 'note', 'model API')).toMatch(/certificate/);
    expect(code).toBe(0);
  });

  test('is noted when nobody answers for names', async () => {
    const { code, said } = await doctor({ environment });
    expect(line(said, 'note', 'model API')).toMatch(/not reached/);
    expect(line(said, 'note', 'name servers')).toMatch(/gateway\.example/);
    expect(code).toBe(0);
  });
});
