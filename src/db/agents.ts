/** Agents: who takes turns. Each group has one of its own; features add others. */
import { z } from 'zod';
import type { Store } from '../db.ts';
import type { Agent, InboxId, Voice } from '../types.ts';
import { type GroupRow, groupColumns, toGroup } from './groups.ts';
import { fromJson } from './json.ts';

/** A voice as it is stored. It names no chat: `chat` is the current chat of the group. */
const voiceSchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('chat'), as: z.string().optional() }),
    z.object({ kind: z.literal('agent'), agentId: z.string() }),
  ])
  .nullable();
export type StoredVoice = NonNullable<z.infer<typeof voiceSchema>>;

const toolsSchema = z.array(z.string()).nullable();

interface AgentRow extends GroupRow, Pick<Agent, 'id' | 'inbox' | 'model'> {
  voice: string | null;
  tools: string | null;
}

const selectAgents = `SELECT ${groupColumns}, agents.id,
    coalesce(agents.inbox, chat_id, 'agent:' || agents.id) AS inbox, voice, tools, model
  FROM agents JOIN groups USING (folder)`;

function toAgent({ id, inbox, voice, tools, model, ...group }: AgentRow): Agent {
  return {
    id,
    group: toGroup(group),
    inbox,
    voice: toVoice(fromJson(voiceSchema, voice) ?? { kind: 'chat' }, group.chatId),
    tools: fromJson(toolsSchema, tools),
    model,
  };
}

function toVoice(voice: StoredVoice, chatId: string | null): Voice | null {
  if (voice.kind === 'agent') return voice;
  if (chatId === null) return null;
  return { kind: 'chat', chatId, ...(voice.as !== undefined && { as: voice.as }) };
}

export function findAgent(store: Store, id: string): Agent | undefined {
  const row = store.get<AgentRow>(`${selectAgents} WHERE agents.id = :id`, { id });
  return row && toAgent(row);
}

/** Throws if there is no such agent. */
export function loadAgent(store: Store, id: string): Agent {
  const agent = findAgent(store, id);
  if (!agent) throw new Error(`there is no agent ${id}`);
  return agent;
}

export function findAgentByInbox(store: Store, inbox: InboxId): Agent | undefined {
  const sql = `${selectAgents} WHERE coalesce(agents.inbox, chat_id) = :inbox`;
  const row = store.get<AgentRow>(sql, { inbox });
  return row && toAgent(row);
}

/** All agents, or those of one group. A group's own agent comes first. */
export function listAgents(store: Store, folder: string | null = null): Agent[] {
  const sql = `${selectAgents} WHERE :folder IS NULL OR folder = :folder
    ORDER BY uid, agents.inbox IS NOT NULL, agents.id`;
  return store.all<AgentRow>(sql, { folder }).map(toAgent);
}

export interface NewAgent extends Omit<Agent, 'group' | 'voice'> {
  folder: string;
  voice: StoredVoice;
}

/** Throws if the id or the inbox is taken. */
export function saveAgent(store: Store, agent: NewAgent): void {
  store.run(
    `INSERT INTO agents (id, folder, inbox, voice, tools, model)
     VALUES (:id, :folder, :inbox, :voice, :tools, :model)`,
    { ...agent, voice: JSON.stringify(agent.voice), tools: JSON.stringify(agent.tools) },
  );
}
