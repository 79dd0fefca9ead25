/**
 * What the host answers itself, without a model and before the queue. A command works with
 * the model down, the queue full and the agent looping.
 */

import type { Base } from './base.ts';
import type { GroupQueue } from './group-queue.ts';
import type { Turns } from './turn.ts';
import { type Group, UserError } from './types.ts';

interface CommandDependencies extends Pick<Base, 'config'> {
  turns: Turns;
  queue: GroupQueue;
  /** Lines about the whole host: runtime, model, channels. */
  describeHost(): string[];
  /** Those of other parts. */
  more: Command[];
}

export interface Call {
  group: Group;
  /** What follows the command's name. */
  words: string[];
  /** Of the message to which it is a reply. */
  quoted: string | undefined;
}

export interface Command {
  name: string;
  /** The words that may follow; none unless said. */
  takes?: string;
  help: string;
  /** Refused in every other chat. */
  mainOnly?: boolean;
  /** Carries it out and returns the answer. Throws UserError. */
  run(call: Call): string;
}

/**
 * The command that a message consists of, with or without the assistant's name before it; to be
 * carried out in a group, it returns the answer.
 */
export type FindCommand = (message: {
  text: string;
  quote?: { text: string };
}) => ((group: Group) => string) | undefined;

export function createCommands(deps: CommandDependencies): FindCommand {
  const mention = new RegExp(`^@${deps.config.assistantName}[\\s,:]+`, 'iu');
  const table = [...ownCommands(deps), ...deps.more];
  const help: Command = {
    name: '/help',
    help: 'this list',
    run: ({ group }) => {
      const lines = [help, ...table]
        .filter(({ mainOnly }) => group.isMain || !mainOnly)
        .map(({ name, takes, help }) => `${[name, takes].filter(Boolean).join(' ')}: ${help}`);
      return [...lines, 'Anything else goes to the assistant.'].join('\n');
    },
  };
  return ({ text, quote }) => {
    const [first, ...words] = text.trim().replace(mention, '').trim().split(/\s+/);
    const command = [help, ...table].find(({ name }) => name === first?.toLowerCase());
    if (!command || (words.length > 0 && command.takes === undefined)) return undefined;
    return (group) => {
      try {
        if (command.mainOnly && !group.isMain)
          throw new UserError(`${command.name} works in the main chat only.`);
        return command.run({ group, words, quoted: quote?.text });
      } catch (error) {
        if (error instanceof UserError) return error.message;
        throw error;
      }
    };
  };
}

function ownCommands({ turns, queue, describeHost }: CommandDependencies): Command[] {
  return [
    {
      name: '/stop',
      // Whatever else is said with it.
      takes: '',
      help: 'stop what the assistant is doing here, at once',
      run: ({ group: { folder } }) => {
        const wasBusy = turns.stop(folder);
        queue.cancel(folder);
        return wasBusy ? 'Stopped.' : 'There is nothing to stop.';
      },
    },
    {
      name: '/new',
      help: 'start a fresh conversation; notes and files are kept',
      run: ({ group: { folder } }) => {
        turns.renew(folder);
        queue.cancel(folder);
        return 'A fresh conversation. My notes and files are kept.';
      },
    },
    {
      name: '/status',
      help: 'what runs; in the main chat also on what',
      run: ({ group: { folder, isMain } }) => {
        const here = turns.isActive(folder) ? 'working' : queue.isBusy(folder) ? 'waiting' : 'idle';
        return [
          `Here: ${here}.`,
          `Everywhere: ${queue.count('running')} working, ${queue.count('idle')} warm, ${queue.count('waiting')} waiting.`,
          ...(isMain ? describeHost() : []),
        ].join('\n');
      },
    },
  ];
}
