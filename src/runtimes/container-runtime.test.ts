import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultLimits } from '../config.ts';
import { UserError } from '../types.ts';
import { detectRuntime, proveSealed } from './container-runtime.ts';
import type { Mount, Runtime } from './container-spec.ts';

const projectDir = resolve(import.meta.dirname, '../..');
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'runtime-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A program that PATH finds before the real one. */
function install(name: string, script: string): void {
  writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(dir, name), 0o755);
}
const detect = (wanted: string | null, path = `${dir}:${process.env.PATH}`): Promise<Runtime> =>
  detectRuntime(wanted, projectDir, { PATH: path });

const prove = (runtime: Runtime, hidden: string[] = [], mounts: Mount[] = []): Promise<void> =>
  proveSealed(runtime, { limits: defaultLimits.container, mounts, hidden });

describe('detecting', () => {
  const podman = `test "$1" != info ||
    echo '{ "host": { "cgroupVersion": "v2", "security": { "rootless": false } } }'`;
  const docker = `test "$1" != info ||
    echo '{ "ServerVersion": "28.0.0", "MemoryLimit": true, "SecurityOptions": [], "Runtimes": { "runsc": {} } }'`;

  test('takes an engine that has our image before bubblewrap', async () => {
    install('docker', 'exit 1');
    install('podman', podman);
    expect((await detect(null)).name).toBe('podman');
  });

  test('takes bubblewrap when no engine has our image', async () => {
    install('docker', 'exit 1');
    install('podman', 'exit 1');
    expect((await detect(null)).name).toBe('bubblewrap');
  });

  test('takes the wanted one, whatever else there is', async () => {
    install('docker', docker);
    install('podman', podman);
    for (const name of ['podman', 'bubblewrap', 'docker+runsc', 'podman+runsc'])
      expect((await detect(name)).name).toBe(name);
    expect((await detect(null)).name).toBe('docker');
  });

  test('says what can be wanted', async () => {
    await expect(detect('lxc')).rejects.toThrow(
      'NANOCLAW_RUNTIME is "lxc"; it can be bubblewrap, docker, podman, apple-container, docker+runsc, podman+runsc.',
    );
  });

  test('does not fall back when the wanted engine is not there', async () => {
    install('docker', 'exit 1');
    await expect(detect('docker')).rejects.toThrow(UserError);
    await expect(detect('docker')).rejects.toThrow(/docker: it is not installed, or not running/);
  });
});

describe('the proof', () => {
  test('passes on this machine', async () => {
    await prove(await detect('bubblewrap'), [join(projectDir, '.env'), '/root', '/home']);
  });

  test('names each path of the host that shows', async () => {
    await expect(prove(await detect('bubblewrap'), ['/usr/bin', '/nothing'])).rejects.toThrow(
      /not sealed.*\nIt sees \/usr\/bin of the host\.\n/,
    );
  });

  /** Bubblewrap with other feeds: the first holds its arguments, the second its filter. */
  async function altered(alter: (feeds: Buffer[]) => Buffer[]): Promise<Runtime> {
    const runtime = await detect('bubblewrap');
    const launch: Runtime['launch'] = (spec) => {
      const usual = runtime.launch(spec);
      return { ...usual, feeds: alter(usual.feeds) };
    };
    return { ...runtime, launch };
  }

  test('notices a filter that lets everything pass', async () => {
    const allowAll = Buffer.from([6, 0, 0, 0, 0, 0, 0xff, 0x7f]);
    const lax = await altered(([args = allowAll, , ...more]) => [args, allowAll, ...more]);
    await expect(prove(lax)).rejects.toThrow(
      /sealed.*\nIts filter on system calls is not ours\.\n/,
    );
  });

  test('notices settings of the kernel that are not read-only', async () => {
    const option = ['--ro-bind-try', '/proc/sys', '/proc/sys', ''].join('\0');
    const lax = await altered(([args = Buffer.alloc(0), ...more]) => {
      const without = String(args).replace(option, '');
      expect(without).not.toBe(String(args));
      return [Buffer.from(without), ...more];
    });
    await expect(prove(lax)).rejects.toThrow(
      /sealed.*\nIts kernel's settings are not read-only\.\n/,
    );
  });

  test('notices a folder of the host that is mounted writable, wherever and whosever', async () => {
    const target = '/home/agent/deep';
    const runtime = await detect('bubblewrap');
    await prove(runtime, [], [{ source: dir, target, readOnly: true }]);
    await expect(prove(runtime, [], [{ source: dir, target, readOnly: false }])).rejects.toThrow(
      /sealed.*\n\/home\/agent\/deep is mounted writable\.\n/,
    );
  });

  /** Runs the command on the host itself, as a runtime that seals nothing. */
  const open: Runtime = {
    name: 'docker',
    hasOwnKernel: false,
    describe: () => 'none',
    launch: (spec) => ({
      file: '/usr/bin/env',
      args: spec.command,
      env: { PATH: process.env.PATH ?? '', ANTHROPIC_API_KEY: 'x' },
      feeds: [],
    }),
    kill: async () => {},
    release: async () => {},
    reap: async () => 0,
  };

  test.skipIf(process.getuid?.() !== 0)(
    'names every gap of a runtime that seals nothing',
    async () => {
      const error = await prove(open, ['/etc/shadow']).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UserError);
      for (const gap of [
        'It runs as root.',
        'It has capabilities (CapEff:',
        'It can gain privileges.',
        'No filter on system calls.',
        'Its filter on system calls is not ours.',
        "Its kernel's settings are not read-only.",
        '/ is mounted writable.',
        '/usr is writable.',
        'It sees /etc/shadow of the host.',
        'It can make user namespaces.',
      ])
        expect(String(error)).toContain(gap);
    },
  );

  test('asks no filter of a runtime with a kernel of its own', async () => {
    const error = await prove({ ...open, hasOwnKernel: true }).catch((reason: unknown) => reason);
    expect(String(error)).not.toMatch(/filter on system calls|user namespaces/);
  });

  test('leaves no file behind where it could write', () => {
    for (const folder of ['/usr', '/tmp']) expect(existsSync(`${folder}/.probe`)).toBe(false);
  });

  /** Looks to the host like a bubblewrap that is missing or says why it fails. */
  const broken = (script: string): Runtime => ({
    ...open,
    name: 'bubblewrap',
    launch: () => ({ file: '/bin/sh', args: ['-c', script], env: { PATH: dir }, feeds: [] }),
  });

  test('says how to install bubblewrap when it is missing', async () => {
    await expect(prove(broken('exec bwrap'))).rejects.toThrow(/apt-get install bubblewrap/);
  });

  test.each([
    ['bwrap: Unknown option --disable-userns', /bubblewrap 0\.8 or newer/],
    ['bwrap: setting up uid map: Permission denied', /bwrap-userns-restrict/],
    ['bwrap: No permissions to create new namespace', /unprivileged_userns_clone=1/],
    ['bwrap: something else', /another runtime/],
  ])('answers "%s" with a remedy', async (problem, remedy) => {
    await expect(prove(broken(`echo '${problem}' >&2; exit 1`))).rejects.toThrow(remedy);
  });

  test('fails when the runtime cannot even be started', async () => {
    const missing = {
      ...open,
      launch: () => ({ file: join(dir, 'none'), args: [], env: {}, feeds: [] }),
    };
    await expect(prove(missing)).rejects.toThrow(/ENOENT/);
  });
});
