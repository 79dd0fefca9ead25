/**
 * What a message costs as a conversation grows: four weeks of one chat, twelve messages a day, with the
 * real `claude`, started anew each day. A token is four bytes of a request, compactions included.
 * Takes minutes, so it runs only by its name.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { query, type SDKUserMessage } from '@anthropic-ai/claude-agent-sdk';
import { sessionOptions } from '../container/agent-runner/session.ts';
import { type ScriptedModel, startScriptedModel } from '../test/scripted-model/scripted-model.ts';

const days = 28;
const messagesPerDay = 12;
const weeks = days / 7;
/** What tools return, in every third message, in bytes. */
const toolResultBytes = [4_000, 12_000, 20_000, 8_000];
const words = 'The tram to the market leaves at ten past nine, and again at twenty to ten. ';
const claudePath = createRequire(import.meta.url).resolve(
  `@anthropic-ai/claude-agent-sdk-${process.platform}-${process.arch}/claude`,
);

/** The settings of `claude` itself. */
const unbounded = {
  CLAUDE_CODE_AUTO_COMPACT_WINDOW: undefined,
  CLAUDE_AUTOCOMPACT_PCT_OVERRIDE: undefined,
};

/** For each week, with the settings of agents and with the window of the model. */
export async function measureGrowth(dir: string) {
  const [ours, before] = await Promise.all([
    talkForWeeks(join(dir, 'ours'), {}),
    talkForWeeks(join(dir, 'unbounded'), unbounded),
  ]);
  return { ours, before };
}

async function talkForWeeks(dir: string, changes: Record<string, undefined>) {
  const group = join(dir, 'group');
  const home = join(dir, 'home');
  for (const folder of [group, home]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(group, 'timetable.txt'), words.repeat(400));
  const model = await startScriptedModel();
  script(model);
  let sessionId: string | null = null;
  try {
    for (let day = 0; day < days; day += 1) {
      const options = sessionOptions(
        {
          dirs: { group, global: group, inbox: dir, outbox: dir },
          claudePath,
          modelUrl: model.url,
          modelSilenceMaxMs: 60_000,
        },
        { sessionId, instructions: instructions() },
      );
      const env = { ...options.env, HOME: home, ANTHROPIC_API_KEY: 'placeholder', IS_SANDBOX: '1' };
      sessionId = await talk(day, { ...options, env: { ...env, ...changes } });
    }
    return byWeek(model);
  } finally {
    await model.close();
  }
}

/** One day's messages, each sent when the one before is answered. Resolves to the session. */
async function talk(day: number, options: ReturnType<typeof sessionOptions>): Promise<string> {
  let answered = () => {};
  async function* prompts(): AsyncGenerator<SDKUserMessage> {
    for (let count = 0; count < messagesPerDay; count += 1) {
      const number = day * messagesPerDay + count;
      const isAnswered = new Promise<void>((resolve) => {
        answered = resolve;
      });
      const bytes = number % 3 === 0 ? toolResultBytes[(number / 3) % toolResultBytes.length] : 0;
      const content = `message ${number}, look at ${bytes} bytes: ${words.repeat(2)}`;
      const message = { role: 'user' as const, content };
      yield { type: 'user', message, parent_tool_use_id: null, uuid: randomUUID() };
      await isAnswered;
    }
  }
  let sessionId = '';
  for await (const message of query({ prompt: prompts(), options }))
    if (message.type === 'result') {
      if (message.is_error) throw new Error(JSON.stringify(message));
      sessionId = message.session_id;
      answered();
    }
  return sessionId;
}

function script(model: ScriptedModel): void {
  model.otherwise(words.repeat(8));
  for (const bytes of toolResultBytes)
    model
      .on(`look at ${bytes} bytes`)
      .callTool('Bash', { command: `head -c ${bytes} timetable.txt` })
      .thenReply(words.repeat(8));
  model.on('Respond with TEXT ONLY').reply(`<summary>${words.repeat(60)}</summary>`);
}

function byWeek(model: ScriptedModel) {
  const messages = messagesPerDay * 7;
  const sums = Array.from({ length: weeks }, () => ({ tokens: 0, largest: 0 }));
  let week = 0;
  for (const { said, body } of model.calls) {
    const [, number] = /^message (\d+),/.exec(said) ?? [];
    if (number) week = Math.floor(Number(number) / messages);
    const sum = sums[week];
    if (!sum) continue;
    const tokens = Math.ceil(JSON.stringify(body).length / 4);
    sum.tokens += tokens;
    sum.largest = Math.max(sum.largest, tokens);
  }
  return sums.map(({ tokens, largest }) => ({
    perMessage: Math.round(tokens / messages),
    largest,
  }));
}

function instructions(): string {
  return ['everyone', 'main']
    .map((name) => join(import.meta.dirname, `../container/instructions/${name}.md`))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
}
