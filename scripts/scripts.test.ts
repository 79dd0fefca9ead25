/** The set-up on a small stand-in project: real files, real child processes, no network. */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { countTests, describeCounts } from './counts.mjs';
import { withLock } from './lock.mjs';
import { run } from './run.mjs';
import { runtimeAdvice } from './runtime.mjs';
import { isInstalled, machineComplaint, projectDir as realProject } from './setup.mjs';

const isRoot = process.getuid?.() === 0;
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nanoclaw-setup-'));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('the machine', () => {
  test('an old Node is refused with its version and what is needed', () => {
    expect(machineComplaint('18.20.4', 'linux')).toMatch(/20\.12 or newer, but this is 18\.20\.4/);
    expect(machineComplaint('20.11.1', 'linux')).toBeDefined();
  });

  test('Node 20.12 and later are accepted', () => {
    for (const version of ['20.12.0', '20.20.2', '22.0.0', '24.1.0']) {
      expect(machineComplaint(version, 'darwin')).toBeUndefined();
    }
  });
});

describe('dependencies', () => {
  const linuxOnly = { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'] };
  const wanted = { '': {}, 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': linuxOnly };
  const linux = { platform: 'linux', arch: 'x64' };

  test('count as installed when npm recorded the same versions', () => {
    writeLocks(wanted, { 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': linuxOnly });
    expect(isInstalled(dir, linux)).toBe(true);
  });

  test('are missing without node_modules or after an interrupted install', () => {
    writeLocks(wanted, undefined);
    expect(isInstalled(dir, linux)).toBe(false);
    mkdirSync(join(dir, 'node_modules', 'a'), { recursive: true });
    expect(isInstalled(dir, linux)).toBe(false);
  });

  test('are out of date when the lockfile asks for another version', () => {
    writeLocks(wanted, { 'node_modules/a': { version: '0.9.0' }, 'node_modules/b': linuxOnly });
    expect(isInstalled(dir, linux)).toBe(false);
  });

  test('of another platform do not count', () => {
    writeLocks(wanted, { 'node_modules/a': { version: '1.0.0' } });
    expect(isInstalled(dir, linux)).toBe(false);
    expect(isInstalled(dir, { platform: 'darwin', arch: 'arm64' })).toBe(true);
  });
});

describe('npm start', () => {
  test('passes on arguments, stdin and the exit code, and keeps set-up off stdout', async () => {
    makeProject();
    const started = await start({ args: ['chat', '--as', 'Maria'], input: 'hello\n' });
    expect(started.stdout).toBe('["chat","--as","Maria"] hello\n');
    expect(started.stderr).toContain('building');
    expect(started.code).toBe(7);
  });

  test('builds again only when a source changed', async () => {
    makeProject();
    await start();
    const built = statSync(join(dir, 'dist/nanoclaw.js')).ino;

    expect((await start()).stderr).toBe('');
    writeFileSync(join(dir, 'src/a.test.ts'), 'tests are in no bundle');
    expect((await start()).stderr).toBe('');
    expect(statSync(join(dir, 'dist/nanoclaw.js')).ino).toBe(built);

    writeFileSync(join(dir, 'container/agent-runner/main.ts'), 'export const changed = true;\n');
    expect((await start()).stderr).toContain('building');
    expect(readFileSync(join(dir, 'dist/agent-runner.js'), 'utf8')).toContain('changed');
  });

  test('reports file and line of a source that cannot be built', async () => {
    makeProject();
    writeFileSync(join(dir, 'src/cli/main.ts'), 'export const main = ;\n');
    const started = await start();
    expect(started.code).toBe(1);
    expect(started.stderr).toMatch(/the build failed[\s\S]*cli\/main\.ts:1:/);
  });

  test('reports in one sentence that .env cannot be read', async () => {
    makeProject();
    writePrograms({ docker: '#!/bin/sh' }, 'runtime');
    writeFileSync(join(dir, 'container/Dockerfile'), '');
    mkdirSync(join(dir, '.env'));
    const started = await start();
    expect(started.code).toBe(1);
    expect(started.stderr).toMatch(/^nanoclaw: \S+\.env is a folder; .*\n$/);
  });

  test('builds once when started twice at the same time', async () => {
    makeProject();
    const [one, two] = await Promise.all([start(), start()]);
    expect([one.code, two.code]).toEqual([7, 7]);
    expect(`${one.stderr}${two.stderr}`.match(/building/g)).toHaveLength(1);
  });
});

describe('the set-up lock', () => {
  test('lets one process work at a time', async () => {
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} in`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${name} out`);
    };
    await Promise.all([withLock(dir, work('first')), withLock(dir, work('second'))]);
    expect(order).toEqual(['first in', 'first out', 'second in', 'second out']);
  });

  test('of a dead process does not block', async () => {
    mkdirSync(join(dir, 'dist'));
    writeFileSync(join(dir, 'dist/setup.lock'), `${await pidOfDeadProcess()}\n`);
    expect(await withLock(dir, async () => 'worked')).toBe('worked');
    expect(existsSync(join(dir, 'dist/setup.lock'))).toBe(false);
  });

  test('is still held by a child that outlived its parent', async () => {
    mkdirSync(join(dir, 'dist'));
    const lock = join(dir, 'dist/setup.lock');
    const survivor = execFile(process.execPath, ['-e', 'process.stdin.resume()']);
    writeFileSync(lock, `${await pidOfDeadProcess()}\n${survivor.pid}\n`);
    let survivorIsGone = false;
    survivor.on('exit', () => {
      survivorIsGone = true;
    });
    const working = withLock(dir, async () => survivorIsGone);
    survivor.stdin?.end();
    expect(await working).toBe(true);
  });
});

describe('a child of the set-up', () => {
  test('is killed when it hangs, and gives an exit code even if it cannot be started', async () => {
    const hangs = ['-e', 'process.stdin.pause(); setInterval(() => {}, 1000)'];
    expect((await run(process.execPath, hangs, { timeoutMs: 200 })).code).toBe(124);
    expect((await run(join(dir, 'missing'), [], { timeoutMs: 600_000 })).code).toBe(127);
  });

  test('gets no stdin, and the end of its output is kept', async () => {
    const script = "process.stdin.resume().on('end', () => console.log('x'.repeat(9000) + ' end'))";
    const { code, output } = await run(process.execPath, ['-e', script]);
    expect(code).toBe(0);
    expect(output).toMatch(/^x{3000,4000} end$/);
  });
});

describe('the container runtime', () => {
  test.runIf(isRoot)(
    'is installed through apt, whose lists are refreshed when needed',
    async () => {
      makeProject();
      writePrograms({
        'apt-get': `#!/bin/sh
        PATH=/usr/bin; here=$(dirname "$0"); echo "$*" >> "$here/log"
        case "$*" in
          update) touch "$here/updated" ;;
          *) [ -e "$here/updated" ] || exit 100
             for program in bwrap prlimit setpriv; do cp /usr/bin/true "$here/$program"; done ;;
        esac`,
      });
      symlinkSync('/usr/bin/env', join(dir, 'bin/env'));
      const started = await start({ searchPath: join(dir, 'bin') });
      expect(started.stderr).toContain('installing bubblewrap');
      expect(started.code).toBe(7);
      const log = readFileSync(join(dir, 'bin/log'), 'utf8').split('\n');
      expect(log.map((line) => line.split(' ').at(-1))).toEqual([
        'util-linux',
        'update',
        'util-linux',
        '',
      ]);

      expect((await start({ searchPath: join(dir, 'bin') })).stderr).toBe('');
    },
  );

  test('that cannot be installed is requested with one command', async () => {
    makeProject();
    writePrograms({ 'apt-get': '#!/bin/sh\necho no network; exit 1' });
    symlinkSync('/usr/bin/env', join(dir, 'bin/env'));
    const started = await start({ searchPath: join(dir, 'bin') });
    expect(started.code).toBe(1);
    expect(started.stderr).toMatch(/apt-get install -y bubblewrap util-linux/);
    expect(started.stdout).toBe('');
  });

  test('may be an engine that answers, but not one that does not', async () => {
    makeProject();
    writePrograms({ docker: '#!/bin/sh\nexit 1', podman: '#!/bin/sh\nexit 0' });
    expect((await start({ searchPath: join(dir, 'bin') })).code).toBe(7);
    rmSync(join(dir, 'bin/podman'));
    expect((await start({ searchPath: join(dir, 'bin') })).code).toBe(1);
  });

  test('is advised with sudo for plain users only, and with the package manager that exists', () => {
    writePrograms({ dnf: '#!/bin/sh' });
    const searchPath = join(dir, 'bin');
    expect(runtimeAdvice({ isRoot: false, searchPath })).toContain(
      'sudo dnf install -y bubblewrap',
    );
    expect(runtimeAdvice({ isRoot: true, searchPath })).not.toContain('sudo');
    expect(runtimeAdvice({ isRoot: true, searchPath: '' })).toContain('or docker, or podman');
  });
});

describe('the counts of npm test', () => {
  const passed = { status: 'passed', assertionResults: [{ status: 'passed' }] };

  test('come from the report', () => {
    const mixed = {
      status: 'failed',
      assertionResults: [{ status: 'failed' }, { status: 'skipped' }],
    };
    const counts = countTests({ testResults: [passed, mixed] }, 1);
    expect(describeCounts(counts)).toBe('1 passed, 1 failed, 1 skipped');
    expect(describeCounts(countTests({ testResults: [passed] }, 0))).toBe('1 passed, 0 failed');
  });

  test('never say 0 failed when something failed outside of a test', () => {
    const unloadable = { status: 'failed', assertionResults: [] };
    expect(countTests({ testResults: [passed, unloadable, unloadable] }, 1).failed).toBe(2);
    expect(countTests({ testResults: [passed] }, 1).failed).toBe(1);
    expect(countTests({ testResults: [] }, 0).failed).toBe(1);
    expect(countTests(undefined, 1).failed).toBe(1);
  });
});

function writeLocks(wanted: object, installed: object | undefined) {
  writeFileSync(join(dir, 'package-lock.json'), JSON.stringify({ packages: wanted }));
  if (!installed) return;
  mkdirSync(join(dir, 'node_modules'), { recursive: true });
  const record = join(dir, 'node_modules/.package-lock.json');
  writeFileSync(record, JSON.stringify({ packages: installed }));
}

/** Makes a project of two small programs with its dependencies, but without bundles and lock. */
function makeProject() {
  cpSync(join(realProject, 'scripts'), join(dir, 'scripts'), { recursive: true });
  writeLocks({}, {});
  symlinkSync(join(realProject, 'node_modules/esbuild'), join(dir, 'node_modules/esbuild'));
  mkdirSync(join(dir, 'src/cli'), { recursive: true });
  const table = 'src/runtimes/table.mjs';
  cpSync(join(realProject, table), join(dir, table));
  for (const folder of ['container/agent-runner', 'src/channels/whatsapp'])
    mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, 'src/channels/whatsapp/format-worker.ts'), '');
  writeFileSync(join(dir, 'container/agent-runner/main.ts'), 'export const changed = false;\n');
  writeFileSync(join(dir, 'container/node-proxy.ts'), 'export {};\n');
  writeFileSync(
    join(dir, 'src/cli/main.ts'),
    `import { text } from 'node:stream/consumers';
     export async function main(argv: string[]) {
       process.stdout.write(JSON.stringify(argv) + ' ' + (await text(process.stdin)));
       return 7;
     }`,
  );
  writePrograms({ bwrap: '#!/bin/sh', prlimit: '#!/bin/sh', setpriv: '#!/bin/sh' }, 'runtime');
}

function writePrograms(programs: Record<string, string>, folder = 'bin') {
  mkdirSync(join(dir, folder), { recursive: true });
  for (const [name, content] of Object.entries(programs)) {
    writeFileSync(join(dir, folder, name), content, { mode: 0o755 });
  }
}

/** Starts the stand-in project; its PATH holds a runtime unless `searchPath` says otherwise. */
function start({
  args = [],
  input = '',
  searchPath = join(dir, 'runtime'),
}: {
  args?: string[];
  input?: string;
  searchPath?: string;
} = {}) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      [join(dir, 'scripts/start.mjs'), ...args],
      { env: { PATH: searchPath } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

function pidOfDeadProcess() {
  return new Promise<number>((resolve) => {
    const child = execFile(process.execPath, ['-e', '']);
    child.on('exit', () => resolve(child.pid ?? 0));
  });
}
