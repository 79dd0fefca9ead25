/**
 * The head start: an agent's container is started while somebody types. WhatsApp tells who types only
 * to a client that shows itself as available.
 */
import { expect, test } from 'vitest';
import { alice, assistant, family, LinkedHost, owner } from '../support/linked-host.ts';

const ownerLid = `${owner.lid}@lid`;

test('an owner who types gets a head start, after their first message and a restart too', async () => {
  const host = await LinkedHost.start();
  await host.server.waitState({ isAvailable: true });
  await host.server.do('type', { by: owner.number });
  await host.talks('hello');
  await host.stop();
  await host.run();
  await host.server.waitState({ isAvailable: true, watches: ownerLid });
  await host.server.do('type', { by: owner.number });
  await expect.poll(() => host.rows('SELECT count(*) AS n FROM runs')).toEqual([{ n: 2 }]);
});

test('a member who starts typing warms the container', async () => {
  const host = await LinkedHost.start({ withGroup: true });
  host.model.on('ping').reply('pong');
  await host.server.sayInGroup(alice.number, family, 'hello all');
  await host.server.waitState({ isAvailable: true, watches: family });
  await host.server.do('type', { by: alice.number, group: family });
  await host.logs('container-spawned', (facts) => facts.agent === 'family');
  expect(host.rows(`SELECT count(*) AS n FROM turns WHERE agent_id = 'family'`)).toEqual([
    { n: 0 },
  ]);
  await host.server.sayInGroup(alice.number, family, '@Andy ping');
  await host.server.hears(alice.number, { text: 'pong' });
  expect(host.rows(`SELECT count(*) AS n FROM runs WHERE agent_id = 'family'`)).toEqual([{ n: 1 }]);
});

test('the assistant shows itself as soon as its account’s name is known, and after a lost connection', async () => {
  const host = await LinkedHost.prepare();
  await host.server.faults({ hidesName: true });
  await host.linkByCode();
  await host.run();
  expect(await host.server.do('state', {})).toMatchObject({ isAvailable: false });
  const content = { kind: 'text', text: 'from my own phone' } as const;
  await host.server.do('sendFromPhone', { content, to: `${alice.lid}@lid` });
  const { logins } = await host.server.waitState({ isAvailable: true });
  await host.server.do('drop', {});
  await host.server.waitState({ minLogins: logins + 1, isAvailable: true });
});

test('on a shared number it does not, because the owner’s phone would fall silent', async () => {
  const host = await LinkedHost.start({ mode: 'shared' });
  const own = `${assistant.lid}@lid`;
  host.model.on('hello').reply('hi');
  await host.server.waitState({ watches: own });
  await host.server.do('sendFromPhone', { content: { kind: 'text', text: 'hello' }, to: own });
  await host.server.hears(assistant.number, { text: 'hi' });
  expect(await host.server.do('state', {})).toMatchObject({ isAvailable: false });
});
