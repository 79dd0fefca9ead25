import { describe, expect, test } from 'vitest';
import { alice, bob, family, PlainClient } from './plain-client.ts';

const aliceLid = `${alice.lid}@lid`;
const garbled = { kind: 'text', text: 'garbled' } as const;

describe('what the client cannot read', () => {
  test('it asks for again, receives, and keeps reading in the new session', async () => {
    const client = await PlainClient.start();
    await client.message(await client.server.say(alice.number, 'before'));
    const request = { by: alice.number, content: garbled, isCorrupt: true };
    const id = await client.server.do('send', request);
    expect((await client.message(id)).message?.conversation).toBe('garbled');
    expect(await client.server.waitState({ maxWaiting: 0 })).toMatchObject({ retryReceipts: 1 });
    const { retriesHeard } = await client.server.do('seen', { by: alice.number });
    expect(retriesHeard).toBe(1);
    const after = await client.message(await client.server.say(alice.number, 'after'));
    expect(after.message?.conversation).toBe('after');
  });

  test('in a group is sent again with its key', async () => {
    const client = await PlainClient.start();
    const request = { by: alice.number, group: family, content: garbled, isCorrupt: true };
    const id = await client.server.do('send', request);
    expect((await client.message(id)).message?.conversation).toBe('garbled');
    await client.message(await client.server.sayInGroup(alice.number, family, 'after'));
    expect(await client.server.waitState({ maxWaiting: 0 })).toMatchObject({ retryReceipts: 1 });
  });
});

describe('what a phone cannot read', () => {
  test('it asks for again and receives', async () => {
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

  test('in a group each phone asks for again and receives', async () => {
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
