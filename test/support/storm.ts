/**
 * What the storms share: numbered messages, reproducible chance, and a look at what is left over.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelBlock, ModelCall } from '../../src/cli/demo/messages-server.ts';
import type { ScriptedModel } from '../scripted-model/scripted-model.ts';
import { queryRows } from './database.ts';

/** The same seed gives the same storm. */
export const seed = Number(process.env.CRASH_SEED ?? 20261125);

/** Returns a generator of whole numbers from 0 to `below` - 1. Each `stream` has numbers of its own. */
export function chance(stream = 0): (below: number) => number {
  let state = seed + stream;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

/**
 * Has the model answer `number 7` with `#7`. One answer covers all numbers since the last one. As a
 * real model does, it keeps what is not answered yet when it has to summarize.
 */
export function answerAllNumbers(model: ScriptedModel): void {
  const script = model.on(/number/);
  for (let step = 0; step < 20; step += 1) script.answer(answerNumbers);
  model.on('Respond with TEXT ONLY').answer((call) => {
    const open = openNumbers(call).numbers.map((number) => `number ${number}`);
    return `<summary>To be answered: ${open.join(', ') || 'nothing'}.</summary>`;
  });
}

/** Maps each answered number to how often it was answered. */
export function countAnswers(texts: string[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const text of texts)
    for (const [, number] of text.matchAll(/#(\d+)/g))
      counts.set(Number(number), (counts.get(Number(number)) ?? 0) + 1);
  return counts;
}

/**
 * Calls a tool first when the lowest number is divisible by 3, so that kills also hit running
 * tools.
 */
function answerNumbers(call: ModelCall): ModelBlock[] {
  const { numbers, usedTool } = openNumbers(call);
  const text = `Answered ${numbers.map((number) => `#${number}`).join(' ')}`;
  return !usedTool && (numbers[0] ?? 1) % 3 === 0
    ? [
        {
          type: 'tool_use',
          id: `toolu_${Math.random().toString(36).slice(2)}`,
          name: 'Bash',
          input: { command: 'perl -e "select(undef, undef, undef, 0.3)"' },
        },
      ]
    : [{ type: 'text', text }];
}

/** The numbers since the last answer, and whether a tool was called for them. */
function openNumbers(call: ModelCall): { numbers: number[]; usedTool: boolean } {
  const texts: string[] = [];
  let usedTool = false;
  for (const message of call.body.messages.toReversed()) {
    const blocks = typeof message.content === 'string' ? [] : message.content;
    const isToolCall = blocks.some(({ type }) => type === 'tool_use');
    if (message.role === 'assistant' && !isToolCall) break;
    usedTool ||= isToolCall;
    texts.push(JSON.stringify(message.content));
  }
  const found = texts.join(' ').matchAll(/number (\d+)/g);
  const numbers = [...new Set([...found].map((match) => Number(match[1])))];
  return { numbers: numbers.sort((a, b) => a - b), usedTool };
}

/** What a dead or stopped host has left behind: run folders, processes, unfinished rows. */
export function remains(home: string): string[] {
  const agentsDir = join(home, 'data', 'agents');
  const folders = readdirSync(agentsDir).flatMap((agent) =>
    readdirSync(join(agentsDir, agent))
      .filter((name) => name !== 'home')
      .map((name) => `${agent}/${name}`),
  );
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/environ`))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes('agent-runner.js') &&
          readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(home)
          ? [line]
          : [];
      } catch {
        return []; // ENOENT, ESRCH: it ended meanwhile.
      }
    });
  const rows = queryRows(
    join(home, 'store', 'nanoclaw.db'),
    `SELECT 'run ' || id AS open FROM runs WHERE ended_at IS NULL
     UNION ALL SELECT 'turn ' || id FROM turns WHERE state IN ('queued', 'running')
     UNION ALL SELECT 'outbox ' || id FROM outbox WHERE state = 'pending'
     UNION ALL SELECT 'message ' || id FROM messages WHERE handled_at IS NULL AND role = 'wakes'`,
  );
  return [...folders, ...processes, ...rows.map((row) => JSON.stringify(row))];
}
