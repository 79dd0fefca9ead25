/**
 * Makes a base image without a registry: Debian's packages by mmdebstrap, and this very Node.
 * Needs root and a mirror of Debian. For development and tests: it gets no updates.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reasonIn, run, SetupError, say } from './run.mjs';

export const baseName = 'nanoclaw-base';

/** Of a base that we make. Unpacked only: what their scripts would set up is set up by `complete`. */
const packages = [
  ...[
    'base-files',
    'bash',
    'ca-certificates',
    'coreutils',
    'curl',
    'dash',
    'debianutils',
    'findutils',
  ],
  ...[
    'diffutils',
    'git',
    'grep',
    'gzip',
    'hostname',
    'libc-bin',
    'libatomic1',
    'libstdc++6',
    'mawk',
  ],
  ...['passwd', 'patch', 'procps', 'python3', 'ripgrep', 'sed', 'tar', 'tzdata', 'unzip'],
  ...['util-linux', 'xz-utils'],
];
const leftOut = ['doc', 'info', 'lintian', 'locale', 'man'];

/**
 * Makes a base of Debian's packages and this Node in the engine, unless it is there. `runStep` is
 * `run` or `runAloud`. Resolves to its name.
 */
export async function makeBase(program, runStep) {
  const recipe = readFileSync(new URL(import.meta.url), 'utf8') + process.versions.node;
  const base = `${baseName}:${createHash('sha256').update(recipe).digest('hex').slice(0, 12)}`;
  if ((await run(program, ['image', 'inspect', base])).code === 0) return base;
  say(`making ${base} of Debian's packages ...`);
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-base-'));
  const root = join(dir, 'root');
  try {
    const { code, output } = await runStep('mmdebstrap', [
      ...['--quiet', '--variant=extract', '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr'],
      ...[`--include=${packages.join(',')}`],
      ...leftOut.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
      ...['bookworm', root],
    ]);
    if (code !== 0) throw new SetupError(`mmdebstrap failed: ${reasonIn(output)}`);
    complete(root);
    const archive = join(dir, 'base.tar');
    const packed = await run('tar', ['--numeric-owner', '-cf', archive, '-C', root, '.']);
    if (packed.code !== 0) throw new SetupError(`tar failed.\n${packed.output}`);
    const imported = await run(program, ['import', archive, base]);
    if (imported.code !== 0) throw new SetupError(`${program} import failed.\n${imported.output}`);
    return base;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Does what the packages' own scripts would do, as far as agents need it. */
function complete(root) {
  const inRoot = (...parts) => join(root, ...parts);
  const bin = inRoot('usr/local/bin');
  mkdirSync(bin, { recursive: true });
  copyFileSync(process.execPath, join(bin, 'node'));
  chmodSync(join(bin, 'node'), 0o755);
  for (const [name, program] of Object.entries({ awk: 'mawk', which: 'which.debianutils' }))
    if (!existsSync(join(bin, name))) symlinkSync(`/usr/bin/${program}`, join(bin, name));
  const authorities = inRoot('usr/share/ca-certificates/mozilla');
  const certificates = readdirSync(authorities).map((name) =>
    readFileSync(join(authorities, name)),
  );
  mkdirSync(inRoot('etc/ssl/certs'), { recursive: true });
  writeFileSync(inRoot('etc/ssl/certs/ca-certificates.crt'), Buffer.concat(certificates));
  const sources = ['passwd: files', 'group: files', 'hosts: files dns', ''];
  writeFileSync(inRoot('etc/nsswitch.conf'), sources.join('\n'));
  for (const name of ['var/cache/apt', 'var/lib/apt/lists', 'var/lib/dpkg/info'])
    rmSync(inRoot(name), { recursive: true, force: true });
}
