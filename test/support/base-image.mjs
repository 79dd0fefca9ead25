/**
 * Makes a base for the image of the agents' containers without a registry: Debian's packages by
 * mmdebstrap, and this very Node. Needs root and a mirror of Debian. For tests alone: nobody
 * updates it.
 *
 *   node test/support/base-image.mjs ENGINE...   makes it in docker and podman, and prints its name
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
import { run, SetupError, say } from '../../scripts/run.mjs';
import { command } from '../../scripts/setup.mjs';

const name = 'nanoclaw-base';

/** They are unpacked only: `complete` does what agents need of their own scripts. */
const packages = `
  base-files bash ca-certificates coreutils curl dash debianutils diffutils findutils git grep gzip
  hostname libatomic1 libc-bin libstdc++6 mawk passwd patch procps python3 ripgrep sed tar tzdata
  unzip util-linux xz-utils`;
const leftOut = ['doc', 'info', 'lintian', 'locale', 'man'];

await command(async () => {
  const recipe = readFileSync(new URL(import.meta.url), 'utf8') + process.versions.node;
  const base = `${name}:${createHash('sha256').update(recipe).digest('hex').slice(0, 12)}`;
  const lacking = [];
  for (const engine of process.argv.slice(2))
    if ((await run(engine, ['image', 'inspect', base])).code !== 0) lacking.push(engine);
  if (lacking.length > 0) await make(base, lacking);
  console.log(base);
  return 0;
});

async function make(base, engines) {
  say(`making ${base} of Debian's packages ...`);
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-base-'));
  const root = join(dir, 'root');
  const archive = join(dir, 'base.tar');
  try {
    await demand('mmdebstrap', [
      '--quiet',
      '--variant=extract',
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      `--include=${packages.trim().split(/\s+/).join(',')}`,
      ...leftOut.map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`),
      'bookworm',
      root,
    ]);
    complete(root);
    await demand('tar', ['--numeric-owner', '-cf', archive, '-C', root, '.']);
    for (const engine of engines) {
      await demand(engine, ['import', archive, base]);
      await removeOld(engine, base);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function demand(file, args) {
  const { code, output } = await run(file, args);
  if (code !== 0) throw new SetupError(`${file} ${args[0]} failed.\n${output}`);
}

/** Does what the packages' own scripts would do, as far as agents need it. */
function complete(root) {
  const inRoot = (...parts) => join(root, ...parts);
  const bin = inRoot('usr/local/bin');
  mkdirSync(bin, { recursive: true });
  copyFileSync(process.execPath, join(bin, 'node'));
  chmodSync(join(bin, 'node'), 0o755);
  for (const [link, program] of Object.entries({ awk: 'mawk', which: 'which.debianutils' }))
    if (!existsSync(join(bin, link))) symlinkSync(`/usr/bin/${program}`, join(bin, link));
  const authorities = inRoot('usr/share/ca-certificates/mozilla');
  const certificates = readdirSync(authorities).map((file) =>
    readFileSync(join(authorities, file)),
  );
  mkdirSync(inRoot('etc/ssl/certs'), { recursive: true });
  writeFileSync(inRoot('etc/ssl/certs/ca-certificates.crt'), Buffer.concat(certificates));
  const sources = ['passwd: files', 'group: files', 'hosts: files dns', ''];
  writeFileSync(inRoot('etc/nsswitch.conf'), sources.join('\n'));
  for (const folder of ['var/cache/apt', 'var/lib/apt/lists', 'var/lib/dpkg/info'])
    rmSync(inRoot(folder), { recursive: true, force: true });
}

/** The bases of earlier recipes. One that a container uses stays: without force it is not removed. */
async function removeOld(engine, base) {
  const { output } = await run(engine, ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}']);
  // Podman calls what comes from no registry localhost/.
  const ours = new RegExp(`^(localhost/)?${name}:[0-9a-f]+$`);
  const old = output.split('\n').filter((image) => ours.test(image) && !image.endsWith(base));
  if (old.length > 0) await run(engine, ['image', 'rm', ...old]);
}
