/** The commands /stop, /new and /status. They need no model and no free slot. */
import type { Command } from '../../commands.ts';
import { listAgents } from '../../db/agents.ts';
import type { Feature, FeatureHost, Stopped } from '../../feature.ts';
import type { Group } from '../../types.ts';

export const control: Feature = {
  name: 'control',
  migrations: [],
  create: (host) => ({ commands: [stop(host), fresh(host), status(host)] }),
};

const ofGroup = {
  who: 'callers',
  parse: (_words: string[], { group }: { group: Group }) => group,
} as const;

function stop({ store, work }: FeatureHost): Command<Group> {
  return {
    ...ofGroup,
    name: '/stop',
    help: 'stop what the assistant is doing here, at once',
    describe: ({ folder }) => `stop the agents of ${folder}`,
    apply: ({ folder }) => ({
      commit: () => {
        const all = listAgents(store, folder).map(({ id }) => work.stop(id));
        if (!all.some(({ isStopped }) => isStopped)) return 'There is nothing to stop.';
        return `Stopped.${withdrawn(all)}`;
      },
    }),
  };
}

function fresh({ store, work }: FeatureHost): Command<Group> {
  return {
    ...ofGroup,
    name: '/new',
    help: 'start a fresh conversation; notes and files are kept',
    describe: ({ folder }) => `end the conversation of ${folder}`,
    apply: ({ folder }) => ({
      commit: () => {
        const all = listAgents(store, folder).map(({ id }) => work.renew(id));
        return `A fresh conversation. My notes and files are kept.${withdrawn(all)}`;
      },
    }),
  };
}

function withdrawn(all: Stopped[]): string {
  const count = all.reduce((sum, { withdrawn }) => sum + withdrawn, 0);
  if (count === 0) return '';
  return count === 1
    ? ' A message that was waiting is withdrawn.'
    : ` ${count} messages that were waiting are withdrawn.`;
}

function status(host: FeatureHost): Command<Group> {
  const { store, work } = host;
  return {
    ...ofGroup,
    name: '/status',
    help: 'what runs; in the main chat also on what',
    describe: ({ folder }) => `tell how ${folder} stands`,
    apply: (group) => ({
      commit: () => {
        const states = listAgents(store, group.folder).map(({ id }) => work.stateOf(id));
        const here = (['working', 'waiting'] as const).find((state) => states.includes(state));
        return [
          `Here: ${here ?? 'idle'}.`,
          `Everywhere: ${work.count('running')} working, ${work.count('idle')} warm, ${work.count('waiting')} waiting.`,
          ...host.status(group),
          ...(group.isMain ? host.describe() : []),
        ].join('\n');
      },
    }),
  };
}
