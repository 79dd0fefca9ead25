/**
 * Registries for package managers and git in the test internet: a package named `tiny` for npm, one
 * for pip, and repositories with one commit. All are static files, as on real mirrors.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bytes, files, page } from './pages.ts';

const runProgram = promisify(execFile);

/** The environment in which curl, git, npm, pip and Node trust the authority in this file. */
export function trusting(authorityFile: string): Record<string, string> {
  return {
    CURL_CA_BUNDLE: authorityFile,
    GIT_SSL_CAINFO: authorityFile,
    NODE_EXTRA_CA_CERTS: authorityFile,
    PIP_CERT: authorityFile,
    npm_config_cafile: authorityFile,
  };
}

/** A registry for npm, to be served as `https://<name>/`. Its only package exports 'tiny'. */
export async function npmRegistry(
  dir: string,
  name: string,
): Promise<Record<string, RequestListener>> {
  const manifest = { name: 'tiny', version: '1.0.0', main: 'index.js' };
  mkdirSync(join(dir, 'package'));
  writeFileSync(join(dir, 'package/package.json'), JSON.stringify(manifest));
  writeFileSync(join(dir, 'package/index.js'), "module.exports = 'tiny';\n");
  const archive = join(dir, 'tiny-1.0.0.tgz');
  await runProgram('tar', ['-czf', archive, '-C', dir, 'package']);
  const content = readFileSync(archive);
  const integrity = `sha512-${createHash('sha512').update(content).digest('base64')}`;
  const dist = { tarball: `https://${name}/tiny/-/tiny-1.0.0.tgz`, integrity };
  const packument = {
    name: 'tiny',
    'dist-tags': { latest: '1.0.0' },
    versions: { '1.0.0': { ...manifest, dist } },
  };
  return {
    '/tiny': page(JSON.stringify(packument), 'application/json'),
    '/tiny/-/tiny-1.0.0.tgz': bytes(content),
  };
}

/** An index of Python packages. Like PyPI's, its files are on another host. */
export function pythonIndex(filesName: string): {
  index: Record<string, RequestListener>;
  files: Record<string, RequestListener>;
} {
  const path = '/packages/tiny-1.0.0-py3-none-any.whl';
  const wheel = tinyWheel();
  const hash = createHash('sha256').update(wheel).digest('hex');
  const link = `<a href="https://${filesName}${path}#sha256=${hash}">tiny-1.0.0-py3-none-any.whl</a>`;
  return {
    index: { '/simple/tiny/': page(`<!DOCTYPE html>${link}`, 'text/html') },
    files: { [path]: bytes(wheel) },
  };
}

/** A wheel is a zip archive; the module's `name` is 'tiny'. */
function tinyWheel(): Buffer {
  const info = 'tiny-1.0.0.dist-info';
  const content: Record<string, string> = {
    'tiny.py': "name = 'tiny'\n",
    [`${info}/METADATA`]: 'Metadata-Version: 2.1\nName: tiny\nVersion: 1.0.0\n',
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  };
  const record = [...Object.keys(content), `${info}/RECORD`].map((name) => `${name},,\n`).join('');
  return zip({ ...content, [`${info}/RECORD`]: record });
}

/** An archive of stored files: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT */
function zip(content: Record<string, string>): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of Object.entries(content)) {
    const data = Buffer.from(text);
    // Version 2.0, no flags, stored, no time, 1 January 1980; then checksum, sizes, name length.
    const common = [...le(2, 20, 0, 0, 0, 0x21), ...le(4, crc32(data), data.length, data.length)];
    const head = [...common, ...le(2, name.length, 0)];
    const file = [Buffer.from([...le(4, 0x04034b50), ...head]), Buffer.from(name), data];
    files.push(...file);
    const entry = [...le(4, 0x02014b50), ...le(2, 20), ...head, ...le(2, 0, 0, 0), ...le(4, 0)];
    directory.push(Buffer.from([...entry, ...le(4, offset)]), Buffer.from(name));
    offset += Buffer.concat(file).length;
  }
  const count = Object.keys(content).length;
  const size = Buffer.concat(directory).length;
  const end = [...le(4, 0x06054b50), ...le(2, 0, 0, count, count), ...le(4, size, offset)];
  return Buffer.concat([...files, ...directory, Buffer.from([...end, ...le(2, 0)])]);
}

/** Numbers of `width` bytes each, the lowest byte first. */
function le(width: number, ...numbers: number[]): number[] {
  return numbers.flatMap((number) =>
    Array.from({ length: width }, (_, index) => (number >>> (8 * index)) & 0xff),
  );
}

/**
 * The CRC-32 as gzip writes it at the end of a file. Node's zlib has it only from version 22 on.
 */
function crc32(data: Buffer): number {
  return gzipSync(data).readUInt32LE(gzipSync(data).length - 8);
}

/** A repository with one file, README, for `git clone https://<host>/<name>.git`. */
export async function gitRepository(
  dir: string,
  name: string,
): Promise<Record<string, RequestListener>> {
  const work = join(dir, 'work');
  const bare = join(dir, `${name}.git`);
  const git = (...args: string[]) =>
    runProgram('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.org', ...args]);
  await git('init', '--quiet', work);
  writeFileSync(join(work, 'README'), 'cloned\n');
  await git('-C', work, 'add', 'README');
  await git('-C', work, 'commit', '--quiet', '--message', 'Begin');
  await git('clone', '--quiet', '--bare', work, bare);
  await git('-C', bare, 'update-server-info');
  return { [`/${name}.git/*`]: files(bare, `/${name}.git`) };
}
