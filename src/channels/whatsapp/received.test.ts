/**
 * Messages that the server resends because it got no receipt. They cannot be decrypted twice, and
 * no phone may be asked for them.
 */
import { expect, test } from 'vitest';
import { LinkedConnection } from '../../../test/support/linked-connection.ts';
import { alice, bob } from '../../../test/support/linked-host.ts';

const family = '120363000000000001@g.us';

async function startWithGroup(): Promise<LinkedConnection> {
  const linked = await LinkedConnection.start();
  const members = [alice.number, bob.number];
  await linked.server.do('addGroup', { id: '120363000000000001', subject: 'Family', members });
  return linked;
}

test.each([
  ['direct chat', null],
  ['group', family],
])('in a %s one that comes twice is confirmed twice and kept once', async (_, group) => {
  const linked = await startWithGroup();
  const { server } = linked;
  const say = (text: string) =>
    group ? server.sayInGroup(alice.number, group, text) : server.say(alice.number, text);
  const unread: unknown[] = [];
  linked.sockets.at(-1)?.ev.on('messages.upsert', ({ messages }) => {
    unread.push(...messages.filter(({ messageStubType }) => messageStubType));
  });
  const ids = [await say('first')];
  await server.waitState({ maxWaiting: 0 });
  await server.faults({ duplicates: 1 });
  ids.push(await say('twice'));
  // Confirmed only after everything before it.
  ids.push(await say('last'));
  await server.waitState({ maxWaiting: 0 });
  expect(linked.inboxIds()).toEqual(ids);
  expect(unread).toEqual([]);
  expect(await server.do('state', {})).toMatchObject({ retryReceipts: 0, nacks: 0 });
});

test('in a group one whose receipt was lost with the connection is confirmed on the next', async () => {
  const linked = await startWithGroup();
  const { server, connection } = linked;
  // Its receipt is never sent.
  linked.kept = () => void connection.stop();
  const stopped = linked.entered('ended');
  const id = await server.sayInGroup(alice.number, family, 'hello');
  await stopped;
  await server.waitState({ isConnected: false });
  expect(await server.do('state', {})).toMatchObject({ waiting: 1 });
  linked.kept = () => {};
  await linked.next('open', () => connection.start());
  await server.waitState({ isReady: true, maxWaiting: 0 });
  expect(linked.inboxIds()).toEqual([id]);
  expect(await server.do('state', {})).toMatchObject({ retryReceipts: 0, nacks: 0 });
});

test('one that nobody has received is still asked for when it cannot be read', async () => {
  const linked = await startWithGroup();
  const { server } = linked;
  const first = await server.say(alice.number, 'first');
  await server.waitState({ maxWaiting: 0 });
  const readAtLast = new Promise<void>((resolve) => {
    linked.kept = () => resolve();
  });
  const content = { kind: 'text', text: 'garbled' } as const;
  const second = await server.do('send', { by: alice.number, content, isCorrupt: true });
  await readAtLast;
  expect(linked.inboxIds()).toEqual([first, second]);
  expect((await server.do('state', {})).retryReceipts).toBe(1);
});
