/** What is installed for tests and agents, with a script in the place of apt. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { agentPrograms } from '../src/runtimes/table.mjs';
import { installCommand } from './packages.mjs';
import { projectDir } from './setup.mjs';

const isRoot = process.getuid?.() === 0;
const packages = 'curl git python3 ripgrep iproute2 procps python3-pip';
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'nanoclaw-packages-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Does what `npm test` does first, where nothing but `apt-get` is installed. Returns what it says. */
function ensure(apt: string): string {
  writeFileSync(join(dir, 'apt-get'), apt, { mode: 0o755 });
  const script = `import('./scripts/packages.mjs').then((it) => it.ensureTestPrograms('${dir}'))`;
  const options = { cwd: projectDir, env: { PATH: dir } };
  return String(spawnSync(process.execPath, ['-e', script], options).stderr);
}

test.runIf(isRoot)('what tests use is installed in one go', () => {
  const apt = `#!/bin/sh
    PATH=/usr/bin:/bin; here=$(dirname "$0"); echo "$*" >> "$here/log"
    case "$*" in
      *update) touch "$here/updated" ;;
      *) [ -e "$here/updated" ] || exit 100
         for program in curl git python3 rg ip ps pip3; do cp /bin/true "$here/$program"; done ;;
    esac`;
  expect(ensure(apt)).toContain(`installing ${packages.replaceAll(' ', ', ')}, which tests use`);
  const log = readFileSync(join(dir, 'log'), 'utf8').trim().split('\n');
  expect(log).toEqual([
    expect.stringContaining(packages),
    'update',
    expect.stringContaining(packages),
  ]);
  expect(ensure(apt)).toBe('');
});

test('where it may not be installed, the one command is told', () => {
  const said = ensure('#!/bin/sh\nexit 1');
  const command = installCommand(packages.split(' '), { searchPath: dir });
  expect(command).toContain('apt-get install -y curl git');
  expect(said).toContain(`Run this once: ${command}\n`);
});

test('agents have the same programs in an image', () => {
  const dockerfile = readFileSync(join(projectDir, 'container/Dockerfile'), 'utf8');
  const [, looked = ''] = /for program in (.*);/.exec(dockerfile) ?? [];
  expect(looked.split(' ')).toEqual(expect.arrayContaining(Object.keys(agentPrograms)));
});
