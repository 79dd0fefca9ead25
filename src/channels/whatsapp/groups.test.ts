/** Sending to groups: the members are queried once, and again after a change. */
import type { WASocket } from 'baileys';
import { expect, test } from 'vitest';
import { LinkedConnection } from '../../../test/support/linked-connection.ts';
import { alice, bob } from '../../../test/support/linked-host.ts';

const family = '120363000000000001@g.us';

async function startWithGroup(): Promise<{ linked: LinkedConnection; socket: WASocket }> {
  const linked = await LinkedConnection.start();
  const members = [alice.number];
  await linked.server.do('addGroup', { id: '120363000000000001', subject: 'Family', members });
  const { socket } = linked.connection;
  if (!socket) throw new Error('not open');
  return { linked, socket };
}

test('the members are asked for once, not at every message', async () => {
  const { linked, socket } = await startWithGroup();
  let answers = 0;
  socket.ws.on('CB:iq,,group', () => {
    answers += 1;
  });
  for (const id of ['3EB0A1', '3EB0A2', '3EB0A3'])
    await linked.connection.send(family, { text: id }, id);
  await linked.server.hears(alice.number, { text: '3EB0A3' });
  expect(answers).toBe(1);
});

test('who comes into a group hears what is said after that', async () => {
  const { linked, socket } = await startWithGroup();
  const { server, connection } = linked;
  await connection.send(family, { text: 'among us' }, '3EB0A1');
  const told = new Promise((resolve) => socket.ev.on('group-participants.update', resolve));
  await server.do('changeGroup', { group: family, by: alice.number, add: bob.number });
  await told;
  await connection.send(family, { text: 'welcome' }, '3EB0A2');
  await server.hears(bob.number, { text: 'welcome', group: family });
  const heard = await server.do('heard', { by: bob.number });
  expect(heard.map(({ text }) => text)).toEqual(['welcome']);
});

test('a message to a group that is gone is refused, not tried for ever', async () => {
  const { linked } = await startWithGroup();
  const { connection, clock } = linked;
  const gone = '120363000000000099@g.us';
  expect(await connection.send(gone, { text: 'hello?' }, '3EB0A1')).toEqual({
    kind: 'refused',
    reason: 'WhatsApp refused it (item-not-found).',
  });
  expect(clock.waits()).toEqual([]);
  // The refusal is not cached.
  const members = [alice.number];
  await linked.server.do('addGroup', { id: '120363000000000099', subject: 'New', members });
  expect(await connection.send(gone, { text: 'hello!' }, '3EB0A2')).toEqual({
    kind: 'acknowledged',
  });
});
