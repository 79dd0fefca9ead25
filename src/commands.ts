/**
 * What the host answers itself, without a model and before the queue. A command works with
 * the model down, the queue full and the agent looping.
 */
import type { Base } from './base.ts';
import type { Outcome } from './outcome.ts';
import { type Group, UserError } from './types.ts';

/** Where a command is given. */
export interface Call {
  group: Group;
  /** Of the message to which it is a reply. */
  quoted: string | undefined;
}

/** `callers`: whoever may call the agent, in their chat. `main`: the owner, in the main chat. */
type Rights = 'callers' | 'main';

export interface Command<Args = unknown> {
  name: string;
  /** The words that may follow; none unless said. */
  takes?: string;
  help: string;
  who: Rights;
  /** Of the words that follow the name. Throws UserError, with what was expected. */
  parse(words: string[], call: Call): Args;
  /** What it is about to do, in words for its owner. */
  describe(args: Args): string;
  apply(args: Args): Outcome;
}

/** Checks and parses a command as given in a group. Throws UserError. */
type CarryOut = (group: Group) => Outcome;

/** The command that a message consists of, with or without the assistant's name before it. */
export type FindCommand = (message: {
  text: string;
  quote?: { text: string };
}) => CarryOut | undefined;

export function createCommands(
  { config, log }: Pick<Base, 'config' | 'log'>,
  table: Command[],
): FindCommand {
  const mention = new RegExp(`^@${config.assistantName}[\\s,:]+`, 'iu');
  const all = [helpOn(table), ...table];
  return ({ text, quote }) => {
    const [first, ...words] = text.trim().replace(mention, '').trim().split(/\s+/);
    const command = all.find(({ name }) => name === first?.toLowerCase());
    if (!command || (words.length > 0 && command.takes === undefined)) return undefined;
    return (group) => {
      if (command.who === 'main' && !group.isMain)
        throw new UserError(`${command.name} works in the main chat only.`);
      const args = command.parse(words, { group, quoted: quote?.text });
      log.info({ group: group.folder }, `a command: ${command.describe(args)}`);
      return command.apply(args);
    };
  };
}

function helpOn(table: Command[]): Command<Group> {
  const help: Command<Group> = {
    name: '/help',
    help: 'this list',
    who: 'callers',
    parse: (_, { group }) => group,
    describe: () => 'list the commands',
    apply: (group) => {
      const lines = [help, ...table]
        .filter(({ who }) => group.isMain || who === 'callers')
        .map(({ name, takes, help }) => `${[name, takes].filter(Boolean).join(' ')}: ${help}`);
      const text = [...lines, 'Anything else goes to the assistant.'].join('\n');
      return { commit: () => text };
    },
  };
  return help;
}
