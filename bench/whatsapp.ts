/** The measurements with WhatsApp: one linked host, and the bare bot beside it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startScriptedModel } from '../test/scripted-model/scripted-model.ts';
import { BareBot } from './bot.ts';
import { measureChatting } from './chatting.ts';
import { LinkedHost } from './linked.ts';
import { measureReceiving, talking } from './receiving.ts';

const number = /\bnumber (\d+)\./;

/** `dir` is a new folder for the state of host and bot. */
export async function measureWhatsApp(
  dir: string,
  runtimeName: string,
  rounds: { cold: number; warm: number },
) {
  const model = await startScriptedModel();
  model.on(number).reply((_, { said }) => `Answer ${number.exec(said)?.[1]}.`);
  const asking = rounds.cold + 1;
  const botDir = join(dir, 'bot');
  mkdirSync(botDir);
  const linked = await LinkedHost.start(dir, model.url, runtimeName, { talking, asking });
  const bot = await BareBot.start(botDir, model.url, talking + asking);
  try {
    const received = await measureReceiving(linked);
    return { ...received, ...(await measureChatting(linked, bot, talking, rounds)) };
  } finally {
    await bot.stop();
    await linked.stop();
    await model.close();
  }
}
