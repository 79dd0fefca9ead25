/**
 * The memory of the host with WhatsApp, idle and over thousands of messages, and how fast it stores
 * them. Nearly all messages do not call an agent. After each portion one message does, so that
 * every reading includes the cost of an answer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '../src/db.ts';
import { groupJid, type LinkedHost, writer } from './linked.ts';
import { median, nowMs, rounded, say } from './measure.ts';

/** The number of writers who talk; they are the first in the list. */
export const talking = 4;
const portions = 5;
const directPerPortion = 1900;
/** Fewer, because signing one takes the sender's phone, here the server, some milliseconds. */
const groupPerPortion = 100;
const perPortion = directPerPortion + groupPerPortion;
const storedPollMs = 10;
const idleMs = 1000;
const answerTimeoutMs = 60_000;
const text = 'A message of the length that people write to each other in chats, more or less.';

/** Needs a model that answers `number <n>.` with `Answer <n>.` */
export async function measureReceiving(linked: LinkedHost) {
  const { host } = linked;
  await sleep(idleMs);
  const idleRssMb = host.rssMb();
  const store = linked.openStore();
  const direct: number[] = [];
  const group: number[] = [];
  const rssMb: number[] = [];
  for (let round = 1; round <= portions; round += 1) {
    say(`${round * perPortion} messages by WhatsApp`);
    direct.push(await receive(linked, store, directPerPortion, null));
    group.push(await receive(linked, store, groupPerPortion, groupJid));
    await call(linked, round);
    rssMb.push(rounded(await host.settledRssMb(), 1));
  }
  store.close();
  return {
    rssMb: rounded(idleRssMb, 1),
    /** The key is the number of received messages. */
    rssAfterMb: Object.fromEntries(rssMb.map((mb, index) => [(index + 1) * perPortion, mb])),
    rssRatio: rounded((rssMb.at(-1) ?? 0) / (rssMb.at(0) ?? 1)),
    messagesPerSecond: Math.round(median(direct)),
    groupMessagesPerSecond: Math.round(median(group)),
  };
}

/**
 * Has the talking writers send in turn, as fast as the server can. Resolves to messages per second.
 */
async function receive(
  { server }: LinkedHost,
  store: Store,
  count: number,
  group: string | null,
): Promise<number> {
  const wanted = stored(store) + count;
  const messages = Array.from({ length: count }, (_, index) => ({
    by: writer(index % talking).number,
    content: { kind: 'text' as const, text },
    ...(group && { group }),
  }));
  const startMs = nowMs();
  const said = server.do('sendMany', { messages });
  while (stored(store) < wanted) await sleep(storedPollMs);
  const tookMs = nowMs() - startMs;
  await said;
  return (count * 1000) / tookMs;
}

async function call({ server }: LinkedHost, round: number): Promise<void> {
  const by = writer(0).number;
  await server.say(by, `@Andy this is number ${round}.`);
  await server.hears(by, { text: `Answer ${round}\\.`, timeoutMs: answerTimeoutMs });
}

function stored(store: Store): number {
  return store.get<{ count: number }>('SELECT count(*) AS count FROM messages')?.count ?? 0;
}
