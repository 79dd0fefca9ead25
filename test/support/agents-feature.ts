/**
 * A feature for tests: people give a group further agents and post to them. Each post is a row of its
 * own table and a message in the agent's inbox, in one transaction.
 */
import { z } from 'zod';
import type { Command } from '../../src/commands.ts';
import type { Feature, FeatureHost } from '../../src/feature.ts';
import { features } from '../../src/features.ts';

const agentSchema = z.strictObject({
  id: z.string(),
  voice: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('chat'), as: z.string() }),
      z.strictObject({ kind: z.literal('agent'), agentId: z.string() }),
    ])
    .default({ kind: 'chat', as: 'Helper' }),
  tools: z.array(z.string()).nullable().default(null),
  model: z.string().nullable().default(null),
});
type NewAgent = z.infer<typeof agentSchema> & { folder: string };

export const agentsFeature: Feature = {
  name: 'agents-of-a-test',
  migrations: ['CREATE TABLE posted (agent_id TEXT NOT NULL, post_id TEXT NOT NULL) STRICT;'],
  create: (host) => ({ commands: [createCommand(host), postCommand(host)] }),
};

/** Options of a host that has it. */
export const withAgents = () => ({ features: [...features, agentsFeature] });

/** `/create {"id":"helper"}`, in the chat of its group. */
function createCommand({ agents }: FeatureHost): Command<NewAgent> {
  return {
    name: '/create',
    takes: 'JSON...',
    help: 'gives the group a further agent',
    who: 'callers',
    parse: (words, { group }) => ({
      folder: group.folder,
      ...agentSchema.parse(JSON.parse(words.join(' '))),
    }),
    describe: ({ id }) => `create the agent ${id}`,
    apply: (agent) => ({ commit: () => `Created ${agents.create(agent).id}.` }),
  };
}

interface Request {
  agentId: string;
  id: string;
  text: string;
}

/** `/post AGENT ID TEXT` */
function postCommand({ agents, store }: FeatureHost): Command<Request> {
  return {
    name: '/post',
    takes: 'AGENT ID TEXT...',
    help: 'puts a message into the inbox of an agent',
    who: 'callers',
    parse: ([agentId = '', id = '', ...words]) => ({ agentId, id, text: words.join(' ') }),
    describe: ({ agentId, id }) => `post ${id} to ${agentId}`,
    apply: ({ agentId, id, text }) => ({
      commit: () => {
        store.run('INSERT INTO posted VALUES (:agentId, :id)', { agentId, id });
        const isNew = agents.post(agentId, { id, sender: { kind: 'host', id: 'host' }, text });
        return isNew ? `Posted ${id}.` : `${id} was posted already.`;
      },
    }),
  };
}
