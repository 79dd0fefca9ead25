/** The commands /approve, /reject and /pending, with which the owner answers what agents ask for. */
import type { Command } from '../../commands.ts';
import type { Feature, FeatureHost } from '../../feature.ts';
import { UserError } from '../../types.ts';

export const approvals: Feature = {
  name: 'approvals',
  migrations: [],
  create: (host) => ({
    commands: [
      answerCommand(host, '/approve', true),
      answerCommand(host, '/reject', false),
      pendingCommand(host),
    ],
    start: () => host.approvals.start(),
    stop: () => host.approvals.stop(),
  }),
};

function answerCommand(
  { approvals }: FeatureHost,
  name: string,
  isYes: boolean,
): Command<number[]> {
  return {
    name,
    takes: 'NUMBER...',
    help: isYes ? 'do what an agent asks for' : 'turn down what an agent asks for',
    who: 'main',
    parse: (words) => {
      if (words.length === 0 || !words.every((word) => /^\d{1,9}$/.test(word)))
        throw new UserError(
          `Name a request by its number, such as: ${name} 7. To see all: /pending`,
        );
      return words.map(Number);
    },
    describe: (ids) => `${name} ${ids.join(' ')}`,
    apply: (ids) => ({
      commit: () => ids.map((id) => approvals.answer(id, isYes)).join('\n'),
    }),
  };
}

function pendingCommand({ approvals }: FeatureHost): Command<null> {
  return {
    name: '/pending',
    help: 'what agents ask for',
    who: 'main',
    parse: () => null,
    describe: () => 'list what agents ask for',
    apply: () => ({
      commit: () => approvals.list().join('\n') || 'No agent asks for anything.',
    }),
  };
}
