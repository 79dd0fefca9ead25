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

interface AgentRow extends GroupRow {
  id: string;
  inbox: InboxId;
  voice: string | null;
  tools: string | null;
  model: string | null;
}

const selectAgents = `SELECT ${groupColumns}, agents.id,
    coalesce(agents.inbox, chat_id, 'agent:' || agents.id) AS inbox, voice, tools, model
  FROM agents JOIN groups USING (folder)`;

function toAgent(row: AgentRow): Agent {
  const group = toGroup(row);
  const { id, inbox, model } = row;
  const tools = fromJson(toolsSchema, row.tools);
  const voice = toVoice(fromJson(voiceSchema, row.voice) ?? { kind: 'chat' }, group.chatId);
  return { id, group, inbox, voice, tools, model };
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
  const row = store.get<AgentRow>(
    `${selectAgents} WHERE agents.inbox = :inbox
     UNION ALL ${selectAgents} WHERE agents.inbox IS NULL AND chat_id = :inbox`,
    { inbox },
  );
  return row && toAgent(row);
}

/** All agents, or those of one group. A group's own agent comes first. */
export function listAgents(store: Store, folder: string | null = null): Agent[] {
  const sql = `${selectAgents} WHERE :folder IS NULL OR folder = :folder
    ORDER BY uid, agents.inbox IS NOT NULL, agents.id`;
  return store.all<AgentRow>(sql, { folder }).map(toAgent);
}

export interface NewAgent {
  id: string;
  folder: string;
  inbox: InboxId;
  voice: StoredVoice;
  tools: string[] | null;
  model: string | null;
}

/** Throws if the id or the inbox is taken. */
export function saveAgent(store: Store, { id, folder, inbox, model, ...rest }: NewAgent): void {
  const [voice, tools] = [JSON.stringify(rest.voice), JSON.stringify(rest.tools)];
  store.run(
    `INSERT INTO agents (id, folder, inbox, voice, tools, model)
     VALUES (:id, :folder, :inbox, :voice, :tools, :model)`,
    { id, folder, inbox, voice, tools, model },
  );
}

export function deleteAgent(store: Store, id: string): void {
  store.run('DELETE FROM agents WHERE id = :id', { id });
}
