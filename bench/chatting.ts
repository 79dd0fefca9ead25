/**
 * The time from a writer's message on WhatsApp to the reply on the writer's phone, compared with a
 * bare bot of plain Baileys and the bare SDK. Both are asked in alternation, so that they see the
 * same load. The bot's echo shows the share of WhatsApp alone.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WhatsAppServer } from '../test/whatsapp-server/client.ts';
import type { BareBot } from './bot.ts';
import { countFlushes, whyNotTraced } from './flushes.ts';
import { folderOf, type LinkedHost, writer } from './linked.ts';
import { median, nowMs, rounded, say } from './measure.ts';

/**
 * The pause between messages keeps what `claude` does after an answer out of the next measurement.
 */
const pauseMs = 300;
const countedMessages = 8;
/** The host writes what it counts of the traffic within a second. */
const afterCountMs = 1500;
const containerEndPollMs = 20;

/** `asking` is the index of the first of the `cold` + 1 writers whose agents answer everything. */
export async function measureChatting(
  linked: LinkedHost,
  bot: BareBot,
  asking: number,
  rounds: { cold: number; warm: number },
) {
  const cold = await inTurns(rounds.cold, 'cold', {
    ours: (round) => askColdAgent(linked, asking + round),
    bare: (round) => ask(bot.server, asking + round, `cold number ${round}.`),
  });
  const warm = await inTurns(rounds.warm, 'warm', {
    ours: (round) => ask(linked.server, asking, `warm number ${round}.`),
    bare: (round) => ask(bot.server, asking, `warm number ${round}.`),
  });
  const echoMs: number[] = [];
  for (let round = 1; round <= rounds.warm; round += 1)
    echoMs.push(await ask(bot.server, asking, `echo number ${round}.`));
  const flushes = await countBoth(linked, bot, asking);
  return { cold, warm, echoMs: rounded(median(echoMs), 1), flushes };
}

/** The flushes of the disk by a message to a warm agent. */
async function countBoth(linked: LinkedHost, bot: BareBot, asking: number) {
  const notHere = whyNotTraced();
  if (notHere !== undefined) return { notHere };
  say('flushes');
  const countOf = async (server: WhatsAppServer, pid: number, dir: string) => {
    const count = await countFlushes(pid, dir, async () => {
      for (let round = 1; round <= countedMessages; round += 1)
        await ask(server, asking, `warm number ${round}.`);
      await sleep(afterCountMs);
    });
    return rounded(count / countedMessages, 1);
  };
  return {
    perMessage: await countOf(linked.server, linked.host.pid, linked.homeDir),
    barePerMessage: await countOf(bot.server, bot.pid, bot.dir),
  };
}

type Side = (round: number) => Promise<number>;

/** Round 0 opens the sessions and is not measured. */
async function inTurns(rounds: number, name: string, sides: { ours: Side; bare: Side }) {
  say(`${name} by WhatsApp, ${rounds} rounds`);
  const ms = { ours: [] as number[], bare: [] as number[] };
  for (let round = 0; round <= rounds; round += 1) {
    const order = ['ours', 'bare'] as const;
    for (const side of round % 2 ? order : order.toReversed()) {
      ms[side].push(await sides[side](round));
      await sleep(pauseMs);
    }
  }
  const [ours, bare] = [median(ms.ours.slice(1)), median(ms.bare.slice(1))];
  const figures = { oursReplyMs: rounded(ours, 1), bareReplyMs: rounded(bare, 1) };
  return { rounds, replyRatio: rounded(ours / bare), ...figures };
}

/** Resolves to milliseconds. The model and the echo both repeat the number in `text`. */
async function ask(server: WhatsAppServer, index: number, text: string): Promise<number> {
  const { number } = writer(index);
  const heard = (await server.do('heard', { by: number })).length;
  const startMs = nowMs();
  await server.say(number, text);
  const reply = await server.hears(number, { skip: heard });
  const tookMs = nowMs() - startMs;
  const [digits = ''] = /\d+\.$/.exec(text) ?? [];
  if (!reply.text.endsWith(digits)) throw new Error(`instead of the answer came: ${reply.text}`);
  return tookMs;
}

/**
 * Uses a new chat, so that container, session and home are new, with no other container running.
 */
async function askColdAgent({ homeDir, server }: LinkedHost, index: number): Promise<number> {
  const tookMs = await ask(server, index, `cold number ${index}.`);
  const { number } = writer(index);
  const heard = (await server.do('heard', { by: number })).length;
  await server.say(number, '/new');
  await server.hears(number, { skip: heard });
  const agentDir = join(homeDir, 'data/agents', folderOf(index));
  const isRunning = () => readdirSync(agentDir).some((name) => name.startsWith('run-'));
  while (existsSync(agentDir) && isRunning()) await sleep(containerEndPollMs);
  return tookMs;
}
