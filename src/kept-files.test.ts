/** Files that people send, as the router keeps them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { saveGroup } from './db/groups.ts';
import { findMessage } from './db/messages.ts';
import { Router } from './router.ts';

const pixel = readFileSync(join(import.meta.dirname, '../test/fixtures/pixel.png'));

/** Sends a photo to a group that has had no run. Resolves to what was kept. */
async function keep(bytes: Buffer) {
  const { host, store, clock, config, outbox, owner } = openFeatureHost();
  const chatId = 'whatsapp:new@g.us';
  const group = { folder: 'new', chatId, name: 'New', isMain: false, requiresTrigger: false };
  saveGroup(store, { ...group, triggeredBy: null });
  const router = new Router({
    ...host,
    outbox,
    owner,
    findCommand: () => undefined,
    wake: () => {},
  });
  const open = async () => Readable.from([...bytes].map((byte) => Buffer.of(byte)));
  await router.receive([
    {
      chatId,
      id: 'm1',
      senderId: 'whatsapp:4911@s.whatsapp.net',
      senderName: 'Alice',
      text: 'look',
      sentAtMs: clock.now(),
      attachments: [{ kind: 'image', name: 'a.png', mime: 'image/png', open }],
    },
  ]);
  const message = findMessage(store, chatId, 'm1');
  const [kept] = message?.attachments ?? [];
  const path = join(config.groupsDir, 'new', kept?.groupPath ?? '');
  return { text: message?.text, kept, bytes: kept && readFileSync(path) };
}

test('a photo for a group that has had no run is kept', async () => {
  expect(await keep(pixel)).toMatchObject({ text: 'look', kept: { kind: 'image' }, bytes: pixel });
});

test.each([
  ['text', 'no picture at all'],
  ['nothing', ''],
])('%s that calls itself a picture is kept, but not as an image', async (_, words) => {
  const bytes = Buffer.from(words);
  expect(await keep(bytes)).toMatchObject({ text: 'look', kept: { kind: 'document' }, bytes });
});
