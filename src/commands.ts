/**
 * The commands that the host answers itself. They need no model and no slot, so they work while the
 * model is down, the queue is full or the agent loops.
 */
import type { z } from 'zod';
import type { Base } from './base.ts';
import type { Outcome } from './outcome.ts';
import { clip } from './text.ts';
import { type Group, type InboundMessage, UserError } from './types.ts';

/** Of a command, with what stands after it. */
const nameMax = 40;

/** Where a command is given. */
export interface Call {
  group: Group;
}

/**
 * `callers`: whoever may call the agent, in their own chat. `main`: the owner, in the main chat.
 */
type Rights = 'callers' | 'main';

export interface Command<Args = unknown> {
  name: string;
  /**
   * The words that may follow, as /help shows them, or none. More are refused, unless one of them
   * ends in `...`.
   */
  takes?: string;
  help: string;
  who: Rights;
  /** Parses the words after the name. Throws UserError, which says what was expected. */
  parse(words: string[], call: Call): Args;
  /**
   * What the command will do, in words for the owner. Where an agent may ask for it, all of it, each
   * name `quoted`, and what it replaces: an approval holds only while this stays the same.
   */
  describe(args: Args): string;
  /** Reads stored arguments. Without it, no agent can ask for the command. */
  approvable?: z.ZodType<Args>;
  apply(args: Args): Outcome;
}

/** Checks the rights and parses a command that was given in the group. Throws UserError. */
type CarryOut = (group: Group) => Outcome;

/**
 * Finds the command that a message consists of, with or without `@Name` before it, or that it
 * approves or rejects.
 */
export type FindCommand = (
  message: Pick<InboundMessage, 'chatId' | 'text' | 'isOwner' | 'quote' | 'reaction'>,
) => CarryOut | undefined;

export function createCommands(
  { config, log }: Pick<Base, 'config' | 'log'>,
  table: Command[],
  findAnswer: FindCommand = () => undefined,
): FindCommand {
  const mention = new RegExp(`^@${config.assistantName}[\\s,:]+`, 'iu');
  const all = [helpOn(table), ...table];
  if (new Set(all.map(({ name }) => name)).size < all.length)
    throw new Error('two commands have the same name');
  return (message) => {
    const { text, isOwner } = message;
    const [first = '', ...words] = text.trim().replace(mention, '').trim().split(/\s+/);
    // Whoever is in a hurry writes "/stop!!". To find that end takes quadratic time.
    const called = clip(first, nameMax, '')
      .toLowerCase()
      .replace(/[!.]+$/, '');
    const command = all.find(({ name }) => name === called);
    if (!command) return findAnswer(message);
    return (group) => {
      if (command.who === 'main' && !group.isMain)
        throw new UserError(`${command.name} works in the main chat only.`);
      if (command.who === 'main' && !isOwner)
        throw new UserError(`${command.name} is for the owner of this assistant only.`);
      if (words.length > wordsMax(command))
        throw new UserError(`Nothing was done. Write just: ${usage(command)}`);
      const args = command.parse(words, { group });
      log.info({ group: group.folder }, `a command: ${command.describe(args)}`);
      return command.apply(args);
    };
  };
}

function wordsMax({ takes = '' }: Command): number {
  return takes.includes('...') ? Number.POSITIVE_INFINITY : takes.split(' ').filter(Boolean).length;
}

function usage({ name, takes }: Command): string {
  return [name, takes].filter(Boolean).join(' ');
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
        .map((command) => `${usage(command)}: ${command.help}`);
      const text = [...lines, 'Anything else goes to the assistant.'].join('\n');
      return { commit: () => text };
    },
  };
  return help;
}
