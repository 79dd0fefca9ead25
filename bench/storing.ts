/**
 * The cost of storing a message with the real router in a real store on the disk, and whether it
 * depends on the number of stored messages. Messages come in batches, as a channel delivers them
 * after an outage. They wake no agent, because they do not call it.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from '../src/base.ts';
import { systemClock } from '../src/clock.ts';
import { createCommands } from '../src/commands.ts';
import { defaultLimits, loadConfig } from '../src/config.ts';
import { Store } from '../src/db.ts';
import { openGroup } from '../src/groups.ts';
import { openLog } from '../src/log.ts';
import { Media } from '../src/media.ts';
import { Outbox } from '../src/outbox.ts';
import { createOwner } from '../src/owner.ts';
import { Router } from '../src/router.ts';
import { prepareState } from '../src/state-folders.ts';
import type { InboundMessage } from '../src/types.ts';
import { median, nowMs, projectDir, rounded, say } from './measure.ts';

const storedBefore = [1000, 10_000, 100_000, 1_000_000];
const batchSize = 50;
const batches = 80;
const warmUpBatches = 5;
const fillAtOnce = 50_000;
const chatId = 'bench:busy';

interface Filled {
  size: number;
  store: Store;
  router: Router;
  batchMs: number[];
}

/** `dir` takes about 400 MB. */
export async function measureStoring(dir: string) {
  const filled: Filled[] = [];
  for (const size of storedBefore) filled.push(await fill(mkdtempSync(join(dir, 'store-')), size));
  say('storing');
  for (let round = -warmUpBatches; round < batches; round += 1)
    for (const one of filled) {
      const batch = newBatch();
      const startMs = nowMs();
      await one.router.receive(batch);
      if (round >= 0) one.batchMs.push(nowMs() - startMs);
    }
  for (const { store } of filled) store.close();
  const costs = filled.map(({ size, batchMs }) => [
    String(size),
    rounded((1000 * median(batchMs)) / batchSize, 1),
  ]);
  const allMs = filled.flatMap(({ batchMs }) => batchMs).reduce((sum, ms) => sum + ms, 0);
  const [first, last] = [filled.at(0), filled.at(-1)].map((one) => median(one?.batchMs ?? []));
  return {
    messagesPerSecond: Math.round((filled.length * batches * batchSize * 1000) / allMs),
    costPerMessageUs: Object.fromEntries(costs),
    /** The cost of a message in the fullest store, relative to the emptiest. */
    costRatio: rounded((last ?? 0) / (first ?? 1)),
  };
}

async function fill(dir: string, size: number): Promise<Filled> {
  say(`filling a store with ${size} messages`);
  const config = loadConfig({ NANOCLAW_HOME: dir }, projectDir);
  prepareState(config);
  const store = new Store(join(config.storeDir, 'nanoclaw.db'));
  const log = await openLog(config);
  const base = { config, limits: defaultLimits, clock: systemClock, log, store };
  openGroup(store, { folder: 'busy', chatId, name: 'busy' });
  for (let left = size; left > 0; left -= fillAtOnce)
    store.run(
      `WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < :most)
       INSERT INTO messages (chat_id, id, sender_id, sender_name, text, sent_at,
         attachments, role, handled_at)
       SELECT :chatId, hex(randomblob(10)), 'bench:them', 'them', :text, n, '[]', 'context', n
       FROM counter`,
      { most: Math.min(left, fillAtOnce), chatId, text },
    );
  return { size, store, router: openRouter(base), batchMs: [] };
}

const text = 'A message of the length that people write to each other in chats, more or less.';

function newBatch(): InboundMessage[] {
  return Array.from({ length: batchSize }, () => ({
    chatId,
    id: randomUUID(),
    senderId: 'bench:them',
    senderName: 'them',
    text,
    origin: 'typed',
    mentions: [],
    sentAtMs: Date.now(),
    attachments: [],
  }));
}

/** The router among its real neighbours, none of which any of these messages concerns. */
function openRouter(base: Base): Router {
  const never = (): never => {
    throw new Error('a message woke somebody');
  };
  const outbox = new Outbox({
    ...base,
    channelOf: never,
    leaving: never,
    delivered: never,
    refused: never,
    ended: never,
  });
  const owner = createOwner({ ...base, outbox });
  const findCommand = createCommands(base, []);
  return new Router({ ...base, outbox, owner, media: new Media(base), findCommand, wake: never });
}
