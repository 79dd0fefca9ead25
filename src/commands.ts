/**
 * What the host answers itself, without a model and before the queue. A command works with
 * the model down, the queue full and the agent looping.
 */
import type { GroupQueue } from './group-queue.ts';
import type { Turns } from './turn.ts';
import type { Group } from './types.ts';

export interface CommandDependencies {
  assistantName: string;
  turns: Turns;
  queue: GroupQueue;
  /** Lines about the whole host: runtime, model, channels. */
  describeHost(): string[];
}

interface Command {
  name: string;
  help: string;
  /** Carries it out in the group and returns the answer. */
  run(group: Group): string;
}

/** A command that a message calls. */
export interface CommandCall {
  run(group: Group): string;
}

export class Commands {
  readonly #table: readonly Command[];
  readonly #mention: RegExp;

  constructor(deps: CommandDependencies) {
    this.#table = commandTable(deps);
    this.#mention = new RegExp(`^@${deps.assistantName}[\\s,:]+`, 'iu');
  }

  /** The command that a message consists of, with or without the assistant's name before it. */
  find(text: string): CommandCall | undefined {
    const word = text.trim().replace(this.#mention, '').trim().toLowerCase();
    if (word === '/help') return { run: () => this.#help() };
    return this.#table.find(({ name }) => word === `/${name}`);
  }

  #help(): string {
    const lines = this.#table.map(({ name, help }) => `/${name}: ${help}`);
    return ['/help: this list', ...lines, 'Anything else goes to the assistant.'].join('\n');
  }
}

function commandTable({ turns, queue, describeHost }: CommandDependencies): readonly Command[] {
  return [
    {
      name: 'stop',
      help: 'stop what the assistant is doing here, at once',
      run: ({ folder }) => {
        const wasBusy = turns.stop(folder);
        queue.cancel(folder);
        return wasBusy ? 'Stopped.' : 'There is nothing to stop.';
      },
    },
    {
      name: 'new',
      help: 'start a fresh conversation; notes and files are kept',
      run: ({ folder }) => {
        turns.renew(folder);
        queue.cancel(folder);
        return 'A fresh conversation. My notes and files are kept.';
      },
    },
    {
      name: 'status',
      help: 'what runs, and on what',
      run: ({ folder }) => {
        const [running, idle, waiting] = (['running', 'idle', 'waiting'] as const).map((state) =>
          queue.count(state),
        );
        return [
          `Here: ${turns.isActive(folder) ? 'working' : queue.isBusy(folder) ? 'waiting' : 'idle'}.`,
          `Everywhere: ${running} working, ${idle} warm, ${waiting} waiting.`,
          ...describeHost(),
        ].join('\n');
      },
    },
  ];
}
