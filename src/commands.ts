/**
 * What the host answers itself, without a model and before the queue. A command works with
 * the model down, the queue full and the agent looping.
 */
import type { GroupQueue } from './group-queue.ts';
import type { Turns } from './turn.ts';
import type { Group } from './types.ts';

interface CommandDependencies {
  assistantName: string;
  turns: Turns;
  queue: GroupQueue;
  /** Lines about the whole host: runtime, model, channels. */
  describeHost(): string[];
}

export interface Command {
  name: string;
  help: string;
  /** Carries it out in the group and returns the answer. */
  run(group: Group): string;
}

/** The command that a message consists of, with or without the assistant's name before it. */
export type FindCommand = (text: string) => Command | undefined;

export function createCommands(deps: CommandDependencies): FindCommand {
  const { turns, queue } = deps;
  const mention = new RegExp(`^@${deps.assistantName}[\\s,:]+`, 'iu');
  const table: Command[] = [
    {
      name: '/help',
      help: 'this list',
      run: () => {
        const lines = table.map(({ name, help }) => `${name}: ${help}`);
        return [...lines, 'Anything else goes to the assistant.'].join('\n');
      },
    },
    {
      name: '/stop',
      help: 'stop what the assistant is doing here, at once',
      run: ({ folder }) => {
        const wasBusy = turns.stop(folder);
        queue.cancel(folder);
        return wasBusy ? 'Stopped.' : 'There is nothing to stop.';
      },
    },
    {
      name: '/new',
      help: 'start a fresh conversation; notes and files are kept',
      run: ({ folder }) => {
        turns.renew(folder);
        queue.cancel(folder);
        return 'A fresh conversation. My notes and files are kept.';
      },
    },
    {
      name: '/status',
      help: 'what runs, and on what',
      run: ({ folder }) => {
        const here = turns.isActive(folder) ? 'working' : queue.isBusy(folder) ? 'waiting' : 'idle';
        return [
          `Here: ${here}.`,
          `Everywhere: ${queue.count('running')} working, ${queue.count('idle')} warm, ${queue.count('waiting')} waiting.`,
          ...deps.describeHost(),
        ].join('\n');
      },
    },
  ];
  return (text) => {
    const word = text.trim().replace(mention, '').trim().toLowerCase();
    return table.find(({ name }) => word === name);
  };
}
