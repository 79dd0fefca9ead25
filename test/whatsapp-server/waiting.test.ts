/** The server stores stanzas until the client has confirmed them. */
import { expect, test } from 'vitest';
import type { BinaryNode } from './nodes.ts';
import { alice, bob, family, PlainClient } from './plain-client.ts';

test('messages for an absent client arrive later, in order, marked as offline and counted', async () => {
  const client = await PlainClient.start();
  await client.server.waitState({ maxWaiting: 0 });
  client.disconnect();
  await client.server.waitState({ isConnected: false });
  const ids: string[] = [];
  for (const text of ['one', 'two', 'three']) ids.push(await client.server.say(alice.number, text));
  ids.push(await client.server.sayInGroup(bob.number, family, 'four'));
  expect(await client.server.do('state', {})).toMatchObject({ waiting: 4 });
  client.stanzas.length = 0;
  await client.open();
  for (const id of ids) expect((await client.message(id)).upsert).toBe('append');
  const end = await client.stanza(endsBacklog);
  expect(end.content).toMatchObject([{ attrs: { count: '4' } }]);
  const came = client.stanzas.filter(({ attrs }) => attrs.offline !== undefined);
  expect(came.map(({ attrs }) => [attrs.id, attrs.offline])).toEqual(
    ids.map((id, index) => [id, String(index)]),
  );
  await client.server.waitState({ maxWaiting: 0 });
  const live = await client.server.say(alice.number, 'live');
  expect((await client.message(live)).upsert).toBe('notify');
});

test('a message is sent again until it is confirmed, and not after that', async () => {
  const client = await PlainClient.start();
  const confirmed = await client.server.say(alice.number, 'confirmed');
  await client.message(confirmed);
  await client.server.waitState({ maxWaiting: 0 });
  await client.server.do('stall', {});
  const lost = await client.server.say(alice.number, 'lost on the way');
  await client.open();
  expect((await client.message(lost)).message?.conversation).toBe('lost on the way');
  await client.server.waitState({ maxWaiting: 0 });
  await client.open();
  await client.message(await client.server.say(alice.number, 'last'));
  expect(idsOf(client).filter((id) => id === confirmed || id === lost)).toEqual([confirmed, lost]);
});

test('a message is sent twice when the test asks for that', async () => {
  const client = await PlainClient.start();
  await client.server.faults({ duplicates: 1 });
  const twice = await client.server.say(alice.number, 'twice');
  const once = await client.server.say(alice.number, 'once');
  await client.message(once);
  expect(idsOf(client).filter((id) => id === twice || id === once)).toEqual([twice, twice, once]);
  await client.server.waitState({ maxWaiting: 0 });
});

/** The ids of all received messages, in order. */
function idsOf({ stanzas }: PlainClient): (string | undefined)[] {
  return stanzas.flatMap(({ tag, attrs }) => (tag === 'message' ? [attrs.id] : []));
}

function endsBacklog({ tag, content }: BinaryNode): boolean {
  return tag === 'ib' && Array.isArray(content) && content[0]?.tag === 'offline';
}
