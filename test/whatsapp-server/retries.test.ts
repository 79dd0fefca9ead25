import { describe, expect, test } from 'vitest';
import { alice, bob, family, PlainClient } from './plain-client.ts';

const aliceLid = `${alice.lid}@lid`;

describe('what a phone cannot read', () => {
  test('it asks for again, and gets it', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ damaged: 1 });
    const id = await client.say(aliceLid, { text: 'read me' });
    const heard = await client.server.hears(alice.number, { text: 'read me' });
    expect(heard).toMatchObject({ id, deliveries: 1 });
    expect(await client.server.do('seen', { by: alice.number })).toMatchObject({ retriesAsked: 1 });
    await client.say(aliceLid, { text: 'and on' });
    await client.server.hears(alice.number, { text: 'and on' });
    expect(await client.server.do('seen', { by: alice.number })).toMatchObject({ retriesAsked: 1 });
  });

  test('every phone of a group asks for, and each reads it then', async () => {
    const client = await PlainClient.start();
    await client.server.faults({ damaged: 1 });
    const id = await client.say(family, { text: 'read me' });
    for (const { number } of [alice, bob]) {
      const heard = await client.server.hears(number, { text: 'read me' });
      expect(heard).toMatchObject({ id, group: family, deliveries: 1 });
      expect(await client.server.do('seen', { by: number })).toMatchObject({ retriesAsked: 1 });
    }
    await client.say(family, { text: 'and on' });
    for (const { number } of [alice, bob]) {
      await client.server.hears(number, { text: 'and on' });
      expect(await client.server.do('seen', { by: number })).toMatchObject({ retriesAsked: 1 });
    }
  });
});
