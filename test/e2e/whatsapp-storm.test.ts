import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { alice, bob, family, LinkedHost, owner } from '../support/linked-host.ts';
import { cutPower } from '../support/power-cut.ts';
import { answerAllNumbers, chance, countAnswers, remains, seed } from '../support/storm.ts';

const friends = '120363000000000002@g.us';
/** Who writes in which chat, and so receives the answers. */
const chats = [
  { by: owner.number },
  { by: alice.number },
  { by: bob.number },
  { by: alice.number, group: family },
  { by: bob.number, group: friends },
];

test('a burst of 500 messages from five chats is stored in order and answered once', async () => {
  const host = await startChats();
  const messages = Array.from({ length: 500 }, (_, number) => messageOf(number, chats));
  await host.server.do('sendMany', { messages });
  const { unanswered, doubled } = await outcome(host, 500, chats);
  expect({ unanswered, doubled }).toEqual({ unanswered: [], doubled: [] });
  const stored = host.rows('SELECT chat_id AS chat, text FROM messages ORDER BY seq') as {
    chat: string;
    text: string;
  }[];
  expect(stored).toHaveLength(500);
  for (const chat of new Set(stored.map(({ chat }) => chat))) {
    const numbers = stored.filter((row) => row.chat === chat).map(({ text }) => numberIn(text));
    expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
  }
  expect(await host.server.do('state', {})).toMatchObject({ retryReceipts: 0, waiting: 0 });
}, 240_000);

test('thirty kills and power cuts during 300 messages lose and double nothing', async () => {
  const four = chats.slice(1);
  const host = await startChats();
  const random = chance();
  const cutsPower = chance(1);
  let sent = 0;
  let cuts = 0;
  const sendSome = async (most: number) => {
    for (let left = 1 + random(most); left > 0 && sent < 300; left -= 1) {
      await host.server.do('send', messageOf(sent, four));
      sent += 1;
      await delay(random(8));
    }
  };
  for (let kill = 0; kill < 30; kill += 1) {
    await sendSome(12);
    await delay(random(900));
    await sendSome(6);
    await host.stop('SIGKILL');
    if (cutsPower(2) === 0) {
      cutPower(host.home, cutsPower);
      cuts += 1;
    }
    if (random(2) === 0) await sendSome(3);
    await host.run();
  }
  while (sent < 300) await sendSome(20);
  const { unanswered, doubled, repeats } = await outcome(host, 300, four);
  const { retryReceipts, nacks } = await host.server.do('state', {});
  console.log(
    `whatsapp storm: seed ${seed}, 30 kills, ${cuts} of them power cuts, 300 messages, ${unanswered.length} unanswered, ${doubled.length} answered twice, ${repeats} sent again with the same id, ${retryReceipts} asked for again, ${nacks} refused as known`,
  );
  expect({ unanswered, doubled }).toEqual({ unanswered: [], doubled: [] });
  await host.stop();
  expect(remains(host.home)).toEqual([]);
}, 600_000);

async function startChats(): Promise<LinkedHost> {
  const host = await LinkedHost.prepare();
  host.followFlushes = true;
  answerAllNumbers(host.model);
  const members = [bob.number, owner.number];
  await host.server.do('addGroup', {
    id: friends.split('@')[0] ?? '',
    subject: 'Friends',
    members,
  });
  await host.linkByCode();
  for (const { number, name } of [alice, bob])
    host.prepareGroup(name.toLowerCase(), `whatsapp:${number}@s.whatsapp.net`);
  host.prepareGroup('family', `whatsapp:${family}`);
  host.prepareGroup('friends', `whatsapp:${friends}`);
  await host.run();
  return host;
}

function messageOf(number: number, where: typeof chats) {
  const content = { kind: 'text' as const, text: `number ${number}` };
  const { by, group } = where[number % where.length] ?? { by: owner.number };
  return { by, content, ...(group !== undefined && { group }) };
}

function numberIn(text: string): number {
  return Number(/number (\d+)/.exec(text)?.[1]);
}

/** Waits for each answer: up to 2 minutes, then 1 s each once an answer is missing. */
async function outcome(host: LinkedHost, count: number, where: typeof chats) {
  const unanswered: number[] = [];
  for (let number = 0; number < count; number += 1) {
    const { by, group = null } = messageOf(number, where);
    const timeoutMs = unanswered.length > 0 ? 1000 : 120_000;
    const answer = { text: `#${number}(?!\\d)`, group, timeoutMs };
    await host.server.hears(by, answer).catch(() => unanswered.push(number));
  }
  const texts: string[] = [];
  let repeats = 0;
  for (const { by, group = null } of where)
    for (const heard of await host.server.do('heard', { by }))
      if (heard.group === group) {
        texts.push(heard.text);
        repeats += heard.deliveries - 1;
      }
  const doubled = [...countAnswers(texts)].filter(([, times]) => times > 1);
  return { unanswered, doubled, repeats };
}
