/** Turns. An agent has at most one open turn: queued (to be tried again) or running. */
import type { Store } from '../db.ts';

export interface Turn {
  id: number;
  agentId: string;
  state: 'queued' | 'running';
  /** How often it was started, and how often it failed through its own fault. */
  attempt: number;
  failures: number;
  /** Why the last attempt ended. */
  reason: string | null;
}

const columns = 'id, agent_id AS agentId, state, attempt, failures, reason';
const open = `state IN ('queued', 'running')`;

export function findOpenTurn(store: Store, agentId: string): Turn | undefined {
  const sql = `SELECT ${columns} FROM turns WHERE agent_id = :agentId AND ${open}`;
  return store.get(sql, { agentId });
}

/** The agent's open turn, or else its latest one. */
export function findLastTurnId(store: Store, agentId: string): number | undefined {
  const sql = 'SELECT id FROM turns WHERE agent_id = :agentId ORDER BY id DESC LIMIT 1';
  return store.get<{ id: number }>(sql, { agentId })?.id;
}

export function listOpenTurns(store: Store): Turn[] {
  return store.all(`SELECT ${columns} FROM turns WHERE ${open} ORDER BY id`);
}

export function saveTurn(store: Store, agentId: string, nowMs: number): number {
  const sql = `INSERT INTO turns (agent_id, state, created_at) VALUES (:agentId, 'queued', :nowMs)`;
  return store.run(sql, { agentId, nowMs }).id;
}

/** Starts the next attempt of an agent's open turn. */
export function startTurn(store: Store, agentId: string): Turn | undefined {
  return store.get(
    `UPDATE turns SET state = 'running', attempt = attempt + 1
     WHERE agent_id = :agentId AND ${open} RETURNING ${columns}`,
    { agentId },
  );
}

/** Queues a turn for another attempt. `failed` counts a failure through its own fault. */
export function requeueTurn(store: Store, turnId: number, reason: string, failed: boolean): void {
  store.run(
    `UPDATE turns SET state = 'queued', reason = :reason, failures = failures + :failed
     WHERE id = :turnId`,
    { turnId, reason, failed },
  );
}

export function endTurn(
  store: Store,
  turnId: number,
  state: 'done' | 'failed' | 'stopped',
  reason: string | null,
  nowMs: number,
): void {
  store.run(
    'UPDATE turns SET state = :state, reason = :reason, ended_at = :nowMs WHERE id = :turnId',
    { turnId, state, reason, nowMs },
  );
}

/** The tokens of one answer, but the cost in US dollars of the whole session so far. */
type Usage = Record<'totalCostUsd' | 'inputTokens' | 'outputTokens', number>;

export function saveUsage(store: Store, { id, agentId }: Turn, usage: Usage): void {
  const { totalCostUsd, inputTokens, outputTokens } = usage;
  store.run(
    `UPDATE turns SET cost_usd = cost_usd + max(0, :totalCostUsd - total_cost_usd),
       input_tokens = input_tokens + :inputTokens, output_tokens = output_tokens + :outputTokens
     FROM sessions WHERE turns.id = :id AND sessions.agent_id = turns.agent_id`,
    { id, totalCostUsd, inputTokens, outputTokens },
  );
  store.run(
    `UPDATE sessions SET total_cost_usd = :totalCostUsd, turns = turns + 1
     WHERE agent_id = :agentId`,
    { agentId, totalCostUsd },
  );
}
