/** What the storms have in common: numbers to be answered, chance that repeats, and what is left over. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelBlock, ModelCall } from '../../src/cli/demo/messages-server.ts';
import type { ScriptedModel } from '../scripted-model/scripted-model.ts';
import { queryRows } from './database.ts';

/** The seed of this run; the same seed gives the same storm. */
export const seed = Number(process.env.CRASH_SEED ?? 20261125);

/** Returns what draws whole numbers from 0 to `below` - 1. */
export function chance(): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

/** Has the model answer `number 7` with `#7`, all that were said since its last answer. */
export function answerAllNumbers(model: ScriptedModel): void {
  const script = model.on(/number/);
  for (let step = 0; step < 20; step += 1) script.answer(answerNumbers);
}

/** How often each number was answered. */
export function countAnswers(texts: string[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const text of texts)
    for (const [, number] of text.matchAll(/#(\d+)/g))
      counts.set(Number(number), (counts.get(Number(number)) ?? 0) + 1);
  return counts;
}

/** Answers with all numbers that were said since the last answer, sometimes after a tool. */
function answerNumbers(call: ModelCall) {
  const texts: string[] = [];
  let usedTool = false;
  for (const message of call.body.messages.toReversed()) {
    const blocks = typeof message.content === 'string' ? [] : message.content;
    const isToolCall = blocks.some(({ type }) => type === 'tool_use');
    if (message.role === 'assistant' && !isToolCall) break;
    usedTool ||= isToolCall;
    texts.push(JSON.stringify(message.content));
  }
  const numbers = texts.join(' ').matchAll(/number (\d+)/g);
  const found = [...new Set([...numbers].map((match) => Number(match[1])))].sort((a, b) => a - b);
  const text = `Answered ${found.map((number) => `#${number}`).join(' ')}`;
  const first: ModelBlock[] =
    !usedTool && (found[0] ?? 1) % 3 === 0
      ? [
          {
            type: 'tool_use',
            id: `toolu_${Math.random().toString(36).slice(2)}`,
            name: 'Bash',
            input: { command: 'perl -e "select(undef, undef, undef, 0.3)"' },
          },
        ]
      : [{ type: 'text', text }];
  return { kind: 'blocks' as const, blocks: first };
}

/** Whatever a dead or stopped host left: run folders, files, processes, open rows. */
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
     UNION ALL SELECT 'message ' || id FROM messages WHERE handled_at IS NULL AND wakes = 1`,
  );
  return [...folders, ...processes, ...rows.map((row) => JSON.stringify(row))];
}
