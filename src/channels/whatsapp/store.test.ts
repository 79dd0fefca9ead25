/** The store alone, on a real file, whose bytes are read back where they matter. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/store.ts';
import { WhatsAppStore } from './store.ts';

const number = '15551110001@s.whatsapp.net';
const lid = '900000000000011@lid';
const dayMs = 24 * 60 * 60_000;

function open(dir = temporaryFolder()): WhatsAppStore {
  const store = new WhatsAppStore(join(dir, 'whatsapp.db'));
  onTestFinished(() => store.close());
  return store;
}

function addToInbox(store: WhatsAppStore, ...texts: string[]): void {
  for (const text of texts)
    store.addToInbox({ message: Buffer.from(text), wasOffline: false, receivedAtMs: 1 });
}

function inboxTexts(store: WhatsAppStore, most = 100): string[] {
  return store.listInbox(most).map(({ message }) => Buffer.from(message).toString());
}

describe('people', () => {
  test('are known by their number when it is seen first, whichever address comes later', () => {
    const store = open();
    expect(store.personOf(lid, number)).toBe(number);
    expect(store.personOf(lid)).toBe(number);
    expect(store.personOf(number)).toBe(number);
    expect(store.jidsOf(number)).toEqual({ lid, number });
  });

  test('are known by their LID when no number was known, also after it is learned', () => {
    const store = open();
    expect(store.personOf(lid)).toBe(lid);
    expect(store.personOf(number, lid)).toBe(lid);
    expect(store.personOf(number)).toBe(lid);
    expect(store.jidsOf(lid)).toEqual({ lid, number });
  });

  test('become one when they were first seen apart: the one of the number', () => {
    const store = open();
    store.personOf(lid);
    store.personOf(number);
    expect(store.personOf(lid, number)).toBe(number);
    expect(store.personOf(lid)).toBe(number);
  });

  test('are the same on all their devices', () => {
    const store = open();
    expect(store.personOf('15551110001:12@s.whatsapp.net', '900000000000011:12@lid')).toBe(number);
    expect(store.personOf(lid)).toBe(number);
    expect(store.personOf('900000000000011_1:3@lid')).toBe(number);
  });

  test('are never mixed up with others', () => {
    const store = open();
    store.personOf(lid, number);
    expect(store.personOf('900000000000012@lid', null)).toBe('900000000000012@lid');
    expect(store.personOf('15551110001@lid')).toBe('15551110001@lid');
  });

  test('are found by the digits of either address, and not when never seen', () => {
    const store = open();
    store.personOf(lid, number);
    expect(store.findPerson('15551110001')).toBe(number);
    expect(store.findPerson('900000000000011')).toBe(number);
    expect(store.findPerson('15551110002')).toBeUndefined();
    expect(store.jidsOf('15551110002@s.whatsapp.net')).toEqual({ lid: null, number: null });
  });
});

describe('what was sent', () => {
  test('is found for thirty days and no longer', () => {
    const store = open();
    store.saveSent('old', Buffer.from('hello'), 0);
    store.saveSent('new', Buffer.from('there'), 30 * dayMs);
    expect(store.isOwn('old')).toBe(true);
    store.saveSent('newer', Buffer.from('you'), 30 * dayMs + 1);
    expect(store.isOwn('old')).toBe(false);
    expect(Buffer.from(store.findSent('new') ?? []).toString()).toBe('there');
  });

  test('is what was sent last under an id', () => {
    const store = open();
    store.saveSent('id', Buffer.from('first'), 1);
    store.saveSent('id', Buffer.from('second'), 2);
    expect(Buffer.from(store.findSent('id') ?? []).toString()).toBe('second');
  });
});

test('what was received is known for thirty days, each message by itself', () => {
  const dir = temporaryFolder();
  const first = new WhatsAppStore(join(dir, 'whatsapp.db'));
  const receive = (name: string, receivedAtMs: number) =>
    first.addToInbox({ message: Buffer.from(name), wasOffline: false, receivedAtMs }, name);
  receive('old', 0);
  receive('new', 30 * dayMs);
  expect(first.wasReceived('old')).toBe(true);
  receive('newer', 30 * dayMs + 1);
  first.close();
  const store = open(dir);
  const known = ['old', 'new', 'newer', 'none'].map((name) => store.wasReceived(name));
  expect(known).toEqual([false, true, true, false]);
});

describe('the inbox', () => {
  test('is in the order of arrival, also after some were removed and it was opened again', () => {
    const dir = temporaryFolder();
    const first = new WhatsAppStore(join(dir, 'whatsapp.db'));
    addToInbox(first, 'a', 'b', 'c');
    first.removeFromInbox(first.listInbox(100).map(({ seq }) => seq));
    addToInbox(first, 'd', 'e', 'f');
    const [, second] = first.listInbox(100);
    first.removeFromInbox([second?.seq ?? 0]);
    first.close();
    const again = open(dir);
    addToInbox(again, 'g');
    expect(inboxTexts(again)).toEqual(['d', 'f', 'g']);
    // Numbers are never reused.
    expect(again.listInbox(1)[0]?.seq).toBe(4);
    expect(inboxTexts(again, 2)).toEqual(['d', 'f']);
  });

  test('keeps whether a message waited at the server, and when it came', () => {
    const store = open();
    store.addToInbox({ message: Buffer.from('x'), wasOffline: true, receivedAtMs: 7 });
    addToInbox(store, 'y');
    expect(store.listInbox(2)).toMatchObject([
      { wasOffline: true, receivedAtMs: 7 },
      { wasOffline: false, receivedAtMs: 1 },
    ]);
  });

  test('takes back a message whose transaction fails, with the keys beside it', async () => {
    const store = open();
    const work = () => {
      store.writeKey('session', 'a', 'moved');
      addToInbox(store, 'half');
      throw new Error('the disk is full');
    };
    await expect(store.flushed(work)).rejects.toThrow('the disk is full');
    expect(store.readKey('session', 'a')).toBeNull();
    expect(inboxTexts(store)).toEqual([]);
  });
});

describe('unlinking', () => {
  test('leaves no byte of a key in any file, and all else as it was', () => {
    const dir = temporaryFolder();
    const store = open(dir);
    const contains = (text: string) =>
      readdirSync(dir).some((name) => readFileSync(join(dir, name)).includes(text));
    store.set('mode', 'own');
    store.set('own', number);
    store.writeKey('creds', '', '{"key":"planted-creds","account":{}}');
    for (let id = 0; id < 200; id += 1)
      store.writeKey('session', String(id), `planted-session ${'s'.repeat(1000)}`);
    // Overwritten and removed keys are secret too.
    store.writeKey('session', '1', 'planted-later');
    store.writeKey('session', '2', null);
    addToInbox(store, 'planted-message');
    store.personOf(lid, number);
    expect([store.isLinked, contains('planted-creds'), contains('planted-session')]).toEqual([
      true,
      true,
      true,
    ]);

    store.unlink();

    for (const planted of ['planted-creds', 'planted-session', 'planted-later', 'ssssssss'])
      expect([planted, contains(planted)]).toEqual([planted, false]);
    expect(store.isLinked).toBe(false);
    expect(store.own()).toBeNull();
    expect(inboxTexts(store)).toEqual(['planted-message']);
    expect(contains('planted-message')).toBe(true);
    expect(store.personOf(lid)).toBe(number);
  });
});

test('a device is linked only when it has keys and the main chat is chosen', () => {
  const store = open();
  store.writeKey('creds', '', '{}');
  store.set('mode', 'own');
  expect([store.isPaired, store.isLinked]).toEqual([false, false]);
  store.writeKey('creds', '', '{"account":{}}');
  expect([store.isPaired, store.isLinked]).toEqual([true, true]);
  store.set('mode', null);
  expect([store.isPaired, store.isLinked]).toEqual([true, false]);
});
