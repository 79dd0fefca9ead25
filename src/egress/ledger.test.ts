/** How the ledger is written: a host at once, its traffic a second later, nothing twice. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { HeldClock } from '../../test/support/held-clock.ts';
import { openTemporaryStore } from '../../test/support/store.ts';
import { findOpenTurn } from '../db/turns.ts';
import { Ledger, localDay } from './ledger.ts';

function openLedger() {
  const store = openTemporaryStore();
  const clock = new HeldClock();
  const ledger = new Ledger({ store, clock });
  onTestFinished(() => ledger.close());
  const rows = () =>
    store.all('SELECT host, allowed, requests, bytes_up AS up, bytes_down AS down FROM ledger');
  return {
    store,
    clock,
    ledger,
    account: ledger.account('main', () => findOpenTurn(store, 'main')?.id ?? 0),
    rows,
  };
}

/** Both ends of a real connection. */
async function openConnection(): Promise<{ ours: Socket; theirs: Socket }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const ours = connect(port, '127.0.0.1').resume();
  const [theirs] = await once(server, 'connection');
  onTestFinished(() => void ours.destroy());
  return { ours, theirs };
}

const nothing = { allowed: 1, requests: 0, up: 0, down: 0 };

test('a host is written down before anything of it is counted', () => {
  const { account, rows } = openLedger();
  account.open('a.example');
  expect(rows()).toEqual([{ host: 'a.example', ...nothing }]);
});

test('what is counted follows within a second, and is added up', () => {
  const { account, rows, clock } = openLedger();
  for (let time = 0; time < 3; time += 1) {
    const entry = account.open('a.example');
    if (entry) entry.add({ requests: 1, bytesUp: 10 });
    account.refused('b.example');
  }
  expect(rows()).toContainEqual({ host: 'a.example', ...nothing });
  clock.advance(1000);
  expect(rows()).toEqual([
    { host: 'a.example', ...nothing, requests: 3, up: 30 },
    { host: 'b.example', ...nothing, allowed: 0, requests: 3 },
  ]);
});

test('the bytes of a connection are told while it lives, and each once', async () => {
  const { account, ledger, rows, clock } = openLedger();
  const { ours, theirs } = await openConnection();
  const entry = account.open('a.example');
  if (entry) entry.follow(ours);
  ours.write('12345');
  await once(theirs, 'data');
  clock.advance(1000);
  expect(rows()).toEqual([{ host: 'a.example', ...nothing, up: 5 }]);
  clock.advance(5000);
  theirs.end('1234567');
  await once(ours, 'close');
  ledger.flush();
  expect(rows()).toEqual([{ host: 'a.example', ...nothing, up: 5, down: 7 }]);
});

test('nothing waits when nothing moves', async () => {
  const { account, clock } = openLedger();
  const { ours, theirs } = await openConnection();
  const entry = account.open('a.example');
  if (entry) entry.follow(ours);
  theirs.end();
  await once(ours, 'close');
  clock.advance(1000);
  expect(clock.waits()).toEqual([]);
});

test('a day that ends begins another row', () => {
  const { account, rows, clock } = openLedger();
  account.open('a.example');
  clock.advance(24 * 3600 * 1000);
  account.open('a.example');
  expect(rows()).toHaveLength(2);
});

test('no row is written after the end', async () => {
  const { account, ledger, rows, clock } = openLedger();
  const { ours, theirs } = await openConnection();
  const entry = account.open('a.example');
  ledger.close();
  if (entry) entry.follow(ours);
  theirs.end('too late');
  await once(ours, 'close');
  clock.advance(10_000);
  expect(clock.waits()).toEqual([]);
  expect(rows()).toEqual([{ host: 'a.example', ...nothing }]);
});

test('days are those of this machine', () => {
  expect(localDay(new Date(2026, 2, 9, 0, 0, 1).getTime())).toBe('2026-03-09');
  expect(localDay(new Date(2026, 11, 31, 23, 59, 59).getTime())).toBe('2026-12-31');
});

test('what a connection carries after midnight is the new day’s', async () => {
  const { store, account, ledger, clock } = openLedger();
  const { ours, theirs } = await openConnection();
  const entry = account.open('a.example');
  if (entry) entry.follow(ours);
  ours.write('12345');
  await once(theirs, 'data');
  ledger.flush();
  const today = localDay(clock.now());
  clock.advance(24 * 60 * 60 * 1000);
  ours.write('123');
  await once(theirs, 'data');
  ledger.flush();
  expect(store.all('SELECT day, bytes_up AS up FROM ledger ORDER BY day')).toEqual([
    { day: today, up: 5 },
    { day: localDay(clock.now()), up: 3 },
  ]);
});
