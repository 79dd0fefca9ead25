/** What people send is kept within the group's quota and the disk's reserve, and else named. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import type { Limits } from './config.ts';
import { mainGroup } from './groups.ts';
import { Media } from './media.ts';
import type { IncomingAttachment } from './types.ts';

const kibibyte = 1024;

function openMedia(limits: Partial<Limits> = {}) {
  const { host, config } = openFeatureHost(limits);
  const dir = join(config.groupsDir, 'main');
  const media = new Media(host);
  const group = { ...mainGroup, uid: process.getuid?.() ?? 0 };
  const keep = (...files: IncomingAttachment[]) => media.keepAll(files, group);
  const kept = () => readdirSync(join(dir, 'media'));
  return { keep, kept, dir };
}

function fileOf(sizeBytes: number, changes: Partial<IncomingAttachment> = {}): IncomingAttachment {
  const open = async () =>
    Readable.from(
      Array.from({ length: Math.ceil(sizeBytes / kibibyte) }, () => Buffer.alloc(kibibyte, 1)),
    );
  return { kind: 'document', name: 'a.bin', mime: 'application/pdf', open, ...changes };
}

const full =
  '[document a.bin is missing: the files of this chat take all the room that they may have]';

describe('the files of a group', () => {
  test('are kept up to its quota, and the next one is named', async () => {
    const { keep, kept } = openMedia({ mediaBytesMax: 100 * kibibyte });
    expect((await keep(fileOf(60 * kibibyte))).attachments).toMatchObject([
      { sizeBytes: 60 * kibibyte },
    ]);
    expect(await keep(fileOf(60 * kibibyte))).toEqual({ attachments: [], problems: [full] });
    expect(kept()).toHaveLength(1);
  });

  test('count together while they are on their way', async () => {
    const { keep, kept } = openMedia({ mediaBytesMax: 100 * kibibyte });
    const files = Array.from({ length: 8 }, () => fileOf(40 * kibibyte));
    const { attachments, problems } = await keep(...files);
    expect([1, 2]).toContain(attachments.length);
    expect(problems.length + attachments.length).toBe(8);
    expect(kept()).toHaveLength(attachments.length);
  });

  test('have room again when the agent has deleted some', async () => {
    const { keep, dir } = openMedia({ mediaBytesMax: 100 * kibibyte });
    await keep(fileOf(60 * kibibyte));
    rmSync(join(dir, 'media'), { recursive: true });
    expect((await keep(fileOf(60 * kibibyte))).problems).toEqual([]);
  });

  test('leave out of account what lies elsewhere in its folder', async () => {
    const { keep, dir } = openMedia({ mediaBytesMax: 100 * kibibyte });
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'large'), Buffer.alloc(200 * kibibyte));
    expect((await keep(fileOf(60 * kibibyte))).problems).toEqual([]);
  });

  test('leave the disk its reserve', async () => {
    const { keep, kept } = openMedia({ diskFreeBytesMin: Number.MAX_SAFE_INTEGER });
    expect((await keep(fileOf(kibibyte))).problems).toEqual([
      "[document a.bin is missing: this machine's disk is nearly full]",
    ]);
    expect(kept).toThrow('ENOENT');
  });

  test('have a clean name and type, each of a bounded length', async () => {
    const name = `/etc/@Andy\n${'x'.repeat(500)}\u202E.pdf`;
    const mime = 'x'.repeat(400_000);
    const { attachments } = await openMedia().keep(fileOf(kibibyte, { name, mime }));
    expect(attachments).toMatchObject([
      { name: `${'x'.repeat(116)}.pdf`, mime: `${'x'.repeat(119)}…` },
    ]);
    const odd = await openMedia().keep(fileOf(kibibyte, { name: '@/' }));
    expect(odd.attachments).toMatchObject([{ name: 'file' }]);
  });
});

describe('a picture', () => {
  const pixel = readFileSync(join(import.meta.dirname, '../test/fixtures/pixel.png'));
  const pictureOf = (bytes: Buffer) => {
    const open = async () => Readable.from([...bytes].map((byte) => Buffer.of(byte)));
    return fileOf(0, { kind: 'image', name: 'a.png', mime: 'image/png', open });
  };

  test('for a group that has had no run is kept', async () => {
    const { keep, dir } = openMedia();
    const [kept] = (await keep(pictureOf(pixel))).attachments;
    expect(kept?.kind).toBe('image');
    expect(readFileSync(join(dir, kept?.groupPath ?? ''))).toEqual(pixel);
  });

  test.each([
    ['text', 'no picture at all'],
    ['nothing', ''],
  ])('that is %s is kept, but not as an image', async (_, words) => {
    const { attachments } = await openMedia().keep(pictureOf(Buffer.from(words)));
    expect(attachments).toMatchObject([{ kind: 'document', sizeBytes: words.length }]);
  });
});
