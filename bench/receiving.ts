/**
 * What the host with WhatsApp keeps in memory, idle and over thousands of messages, and how fast
 * it stores them. Nearly all are said in a group whose agent waits to be called; after each
 * portion somebody calls it, so that what an answer costs is in all readings alike.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '../src/db.ts';
import { busyChatId, busyJid, type LinkedHost, writer } from './linked.ts';
import { median, nowMs, rounded, say } from './measure.ts';

const portion = 2000;
const portions = 5;
const storedPollMs = 10;
const idleMs = 1000;
const answerTimeoutMs = 60_000;
const text = 'A message of the length that people write to each other in chats, more or less.';

/** Needs a writer. The model answers `Answer <n>.` to what ends with `number <n>.` */
export async function measureReceiving(linked: LinkedHost) {
  const { host } = linked;
  await sleep(idleMs);
  const idleRssMb = host.rssMb();
  const store = linked.openStore();
  const perSecond: number[] = [];
  const rssMb: [number, number][] = [];
  for (let round = 1; round <= portions; round += 1) {
    say(`receiving ${round * portion} messages by WhatsApp`);
    perSecond.push(await receivePortion(linked, store));
    await askInGroup(linked, round);
    rssMb.push([round * portion, rounded(await host.settledRssMb(), 1)]);
  }
  store.close();
  const [first, last] = [rssMb.at(0), rssMb.at(-1)].map((reading) => reading?.[1] ?? 0);
  return {
    rssMb: rounded(idleRssMb, 1),
    /** By how many messages were received, garbage collected. */
    rssAfterMb: Object.fromEntries(rssMb.map(([count, mb]) => [String(count), mb])),
    rssRatio: rounded((last ?? 0) / (first ?? 1)),
    messagesPerSecond: Math.round(median(perSecond)),
  };
}

/** As fast as the server says them; resolves to how many a second the host stored. */
async function receivePortion({ server }: LinkedHost, store: Store): Promise<number> {
  const wanted = stored(store) + portion;
  const message = {
    by: writer(0).number,
    group: busyJid,
    content: { kind: 'text' as const, text },
  };
  const startMs = nowMs();
  const said = server.do('sendMany', { messages: Array.from({ length: portion }, () => message) });
  void said.then(() => say(`said in ${nowMs() - startMs}`));
  while (stored(store) < wanted) await sleep(storedPollMs);
  const tookMs = nowMs() - startMs;
  await said;
  return (portion * 1000) / tookMs;
}

async function askInGroup({ server }: LinkedHost, round: number): Promise<void> {
  const by = writer(0).number;
  await server.sayInGroup(by, busyJid, `@Andy this is number ${round}.`);
  await server.hears(by, { text: `Answer ${round}\\.`, timeoutMs: answerTimeoutMs });
}

function stored(store: Store): number {
  const sql = 'SELECT count(*) AS count FROM messages WHERE chat_id = ?';
  return store.get<{ count: number }>(sql, busyChatId)?.count ?? 0;
}
