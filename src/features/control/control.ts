/** The commands /stop, /new and /status. They need no model and no free slot. */
import type { Command } from '../../commands.ts';
import { listAgents } from '../../db/agents.ts';
import type { Feature, FeatureHost } from '../../feature.ts';
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
        const stopped = listAgents(store, folder).filter(({ id }) => work.stop(id));
        return stopped.length > 0 ? 'Stopped.' : 'There is nothing to stop.';
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
        for (const { id } of listAgents(store, folder)) work.renew(id);
        return 'A fresh conversation. My notes and files are kept.';
      },
    }),
  };
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
