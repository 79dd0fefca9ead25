import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { runSql } from '../../test/support/database.ts';
import { intoPrompt, temporaryFolder } from '../../test/support/store.ts';
import { Store } from '../db.ts';
import { listLedger } from '../egress/store.ts';
import { listExtraMounts } from '../features/mounts/store.ts';
import { findGroupPolicy } from '../features/web/store.ts';
import { features } from '../features.ts';
import { listAgents } from './agents.ts';
import { findChat, listGroups } from './groups.ts';
import {
  claimMessages,
  findMessage,
  hasUnclaimed,
  settleMessages,
  takeOmittedCount,
} from './messages.ts';
import { migrations } from './migrations.ts';
import { listPending, listPendingChats, sumFileBytes } from './outbox.ts';
import { findSession, listOpenRuns } from './runs.ts';
import { findLastTurnId, listOpenTurns } from './turns.ts';

const ofVersion01 = readFileSync(
  join(import.meta.dirname, '../../test/fixtures/store-0.1.sql'),
  'utf8',
);
const owner = 'whatsapp:15551110001@s.whatsapp.net';
const family = 'whatsapp:family@g.us';
const alice = { kind: 'person', id: 'whatsapp:4911@s.whatsapp.net', name: 'Alice' };

/** The path of a new store, with these statements run on it. */
function makeStore(sql = ''): string {
  const path = join(temporaryFolder(), 'nanoclaw.db');
  new Store(path, [], []).close();
  runSql(path, sql);
  return path;
}

const stores: Store[] = [];
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
});

/** As the host opens it, unless other features are named. */
function open(
  path: string,
  own: { name: string; migrations: readonly string[] }[] = [...features],
) {
  const store = new Store(path, migrations, own);
  stores.push(store);
  return store;
}

function close(store: Store): void {
  stores.splice(stores.indexOf(store), 1);
  store.close();
}

/** Everything in a store but its write-ahead log. */
function contentOf(store: Store) {
  const names = store.all<{ name: string }>(
    `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
  );
  const rows = names.map(({ name }) => [name, store.all(`SELECT * FROM ${name}`)] as const);
  return { rows: Object.fromEntries(rows), version: store.get('PRAGMA user_version') };
}

describe('a store of version 0.1', () => {
  test('keeps its groups, each with an agent of its own', () => {
    const store = open(makeStore(ofVersion01));
    const settings = { isMain: false, requiresTrigger: true };
    const main = { folder: 'main', chatId: owner, name: 'main', isMain: true };
    expect(listGroups(store)).toEqual([
      { ...main, requiresTrigger: false, triggeredBy: null, uid: 200_000 },
      {
        ...settings,
        folder: 'family',
        chatId: family,
        name: 'Family',
        triggeredBy: [alice.id],
        uid: 200_001,
      },
      { ...settings, folder: 'lost', chatId: null, name: 'lost', triggeredBy: null, uid: 200_002 },
    ]);
    const rest = { tools: null, model: null };
    expect(listAgents(store)).toMatchObject([
      { ...rest, id: 'main', inbox: owner, voice: { kind: 'chat', chatId: owner } },
      { ...rest, id: 'family', inbox: family, voice: { kind: 'chat', chatId: family } },
      { ...rest, id: 'lost', inbox: 'agent:lost', voice: null },
    ]);
    expect(findChat(store, family)).toMatchObject({ name: null, lastMessageAtMs: 4000 });
    expect(takeOmittedCount(store, family)).toBe(7);
  });

  test('keeps its messages, from people, as they stood', () => {
    const store = open(makeStore(ofVersion01));
    const found = (inbox: string, id: string) => findMessage(store, inbox, id);
    expect(found(owner, 'answered')).toMatchObject({
      seq: 1,
      sender: { kind: 'person', id: owner, name: 'Olivia' },
      text: 'hello',
      sentAtMs: 1000,
      role: 'wakes',
      isPrompted: true,
    });
    expect(found(owner, 'command')).toMatchObject({ text: '/status', isPrompted: true });
    expect(found(family, 'claimed')).toMatchObject({
      sender: alice,
      quote: { messageId: 'q1', senderName: 'Bob', text: 'look', source: 'claim' },
      origin: 'typed',
      mentions: [],
      attachments: [
        {
          kind: 'image',
          groupPath: 'media/1-a.jpg',
          name: 'a.jpg',
          mime: 'image/jpeg',
          sizeBytes: 12,
        },
      ],
      role: 'wakes',
      isPrompted: true,
    });
    expect(found(family, 'context')).toMatchObject({
      quote: null,
      attachments: [],
      role: 'context',
      isPrompted: false,
    });
    expect(found(family, 'waiting')).toMatchObject({ role: 'wakes', isPrompted: false });
  });

  test('goes on with the turn that was open, and with what waits', () => {
    const store = open(makeStore(ofVersion01));
    expect(listOpenTurns(store)).toEqual([
      {
        id: 2,
        agentId: 'family',
        state: 'running',
        attempt: 2,
        failures: 1,
        reason: 'crashed',
      },
    ]);
    expect(findLastTurnId(store, 'main')).toBe(1);
    expect(listOpenRuns(store)).toEqual([{ id: 2, agentId: 'family', outMark: 2 }]);
    expect(findSession(store, 'main')).toBe('session-of-main');
    expect(hasUnclaimed(store, owner)).toBe(false);
    expect(hasUnclaimed(store, family)).toBe(true);
    settleMessages(store, 2, 'again', 5000);
    claimMessages(store, family, 2, 100);
    const ids = intoPrompt(store, 2, 'prompt-3').map(({ id }) => id);
    expect(ids).toEqual(['claimed', 'context', 'waiting']);
  });

  test('still delivers what was on its way, of each kind', () => {
    const store = open(makeStore(ofVersion01));
    const about = { messageId: 'claimed', senderId: alice.id, text: 'what is this?' };
    const file = {
      hostPath: '/data/files/b.jpg',
      name: 'b.jpg',
      mime: 'image/jpeg',
      sizeBytes: 34,
    };
    expect(listPending(store, family, 10)).toEqual([
      { kind: 'text', id: 'text', chatId: family, text: 'it is a dog', about },
      { kind: 'file', id: 'file', chatId: family, text: 'the same', file, about: null },
      { kind: 'reaction', id: 'reaction', chatId: family, emoji: '🎉', about },
      { kind: 'text', id: 'plain', chatId: family, text: 'that is all', about: null },
    ]);
    expect(listPending(store, owner, 10)).toEqual([]);
    expect(sumFileBytes(store, family, 0)).toBe(34);
  });

  test('keeps what was said in a group without a chat for the terminal, where it was said', () => {
    const store = open(makeStore(ofVersion01));
    expect(findMessage(store, 'terminal:lost', 'orphan')).toMatchObject({ role: 'wakes' });
    expect(listPending(store, 'terminal:lost', 1)[0]).toMatchObject({ text: 'I am here' });
    expect(listPendingChats(store).sort()).toEqual(['terminal:lost', family]);
    expect(JSON.stringify(contentOf(store).rows)).not.toContain('none:');
  });

  test('keeps the tables that features have now', () => {
    const store = open(makeStore(ofVersion01));
    expect(findGroupPolicy(store, 'family')).toEqual({ mode: 'listed', hosts: ['example.org'] });
    expect(listExtraMounts(store)).toEqual([
      { folder: 'family', name: 'photos', source: '/home/olivia/photos', readOnly: true },
      { folder: 'main', name: 'notes', source: '/home/olivia/notes', readOnly: false },
    ]);
    expect(listLedger(store, '2026-11-25')).toEqual([
      {
        folder: 'family',
        host: 'example.org',
        allowed: true,
        requests: 3,
        bytesUp: 100,
        bytesDown: 2000,
        lastAtMs: 3990,
      },
    ]);
  });

  test('loses no row', () => {
    const path = makeStore(ofVersion01);
    const counts = (store: Store, tables: string[]) =>
      tables.map((table) => [table, store.get(`SELECT count(*) AS n FROM ${table}`)]);
    const before = new Store(path, migrations.slice(0, 4));
    const tables = Object.keys(contentOf(before).rows);
    const had = counts(before, tables);
    before.close();
    expect(had.map(([, count]) => count)).not.toContainEqual({ n: 0 });
    expect(had).toHaveLength(10);
    expect(counts(open(path), tables)).toEqual(had);
  });

  test('has the same schema as a new one', () => {
    const schema = (store: Store) =>
      store
        .all<{ type: string; name: string; tbl_name: string; sql: string | null }>(
          'SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name',
        )
        // Where a line breaks and what a comment says is harmless.
        .map(({ sql, ...row }) => ({
          ...row,
          sql: sql?.replace(/--.*$/gm, '').replace(/\s+/g, ' ') ?? null,
        }));
    expect(schema(open(makeStore(ofVersion01)))).toEqual(schema(open(makeStore())));
  });
});

describe('features', () => {
  const table = (name: string) => `CREATE TABLE ${name} (id TEXT PRIMARY KEY) STRICT`;
  const birds = { name: 'birds', migrations: [table('birds'), 'INSERT INTO birds VALUES (1)'] };
  const trees = { name: 'trees', migrations: [table('trees')] };

  test('count their versions by themselves, in whatever order they come', () => {
    const path = makeStore();
    close(open(path, [trees]));
    close(open(path, [birds, trees]));
    const planted = {
      ...trees,
      migrations: [...trees.migrations, "INSERT INTO trees VALUES ('oak')"],
    };
    const store = open(path, [planted, birds]);
    expect(store.all('SELECT id FROM birds')).toEqual([{ id: '1' }]);
    expect(store.all('SELECT id FROM trees')).toEqual([{ id: 'oak' }]);
    expect(store.all('SELECT * FROM feature_versions ORDER BY feature')).toEqual([
      { feature: 'birds', version: 2 },
      { feature: 'trees', version: 2 },
    ]);
  });

  test('of a newer version are refused by their name, and nothing changes', () => {
    const path = makeStore();
    close(open(path, [birds]));
    const older = { ...birds, migrations: birds.migrations.slice(0, 1) };
    expect(() => open(path, [trees, older])).toThrow(
      'The store is of version 2 of birds: update NanoClaw to read it.',
    );
    expect(Object.keys(contentOf(open(path, [birds])).rows)).not.toContain('trees');
  });

  test('that are gone leave their rows alone, and find them when they come back', () => {
    const path = makeStore();
    close(open(path, [birds, trees]));
    close(open(path, [trees]));
    expect(open(path, [trees, birds]).all('SELECT id FROM birds')).toEqual([{ id: '1' }]);
  });

  test.each([
    ['new', ''],
    ['old', ofVersion01],
  ])('and core change nothing in a %s store that is opened again', (_, sql) => {
    const path = makeStore(sql);
    const first = open(path);
    const content = contentOf(first);
    close(first);
    expect(contentOf(open(path))).toEqual(content);
  });
});
