/** Queries about turns. An agent has at most one open turn: queued (to be tried again) or running. */
import type { Store } from '../db.ts';
import type { TurnKind, TurnState } from '../types.ts';

export interface Turn {
  id: number;
  agentId: string;
  state: TurnState;
  /** Times it was started. */
  attempt: number;
  /** Times it failed by itself: a death of the host is not counted. */
  failures: number;
  /** Why the last attempt ended, if there was one. */
  reason: string | null;
}

const select = 'SELECT id, agent_id AS agentId, state, attempt, failures, reason FROM turns';
const open = `state IN ('queued', 'running')`;

export function findOpenTurn(store: Store, agentId: string): Turn | undefined {
  return store.get<Turn>(`${select} WHERE agent_id = ? AND ${open}`, agentId);
}

export function listOpenTurns(store: Store): Turn[] {
  return store.all<Turn>(`${select} WHERE ${open} ORDER BY id`);
}

/** Saves a new turn, queued; returns its id. */
export function saveTurn(store: Store, agentId: string, kind: TurnKind, nowMs: number): number {
  return store.run(
    `INSERT INTO turns (agent_id, kind, state, created_at) VALUES (?, ?, 'queued', ?)`,
    ...[agentId, kind, nowMs],
  ).id;
}

/** Starts the next attempt of an agent's open turn. */
export function startTurn(store: Store, agentId: string): Turn | undefined {
  store.run(
    `UPDATE turns SET state = 'running', attempt = attempt + 1 WHERE agent_id = ? AND ${open}`,
    agentId,
  );
  return findOpenTurn(store, agentId);
}

/** Puts a turn back for another attempt; `failed` says whether the turn itself is to blame. */
export function requeueTurn(store: Store, turnId: number, reason: string, failed: boolean): void {
  store.run(
    `UPDATE turns SET state = 'queued', reason = ?, failures = failures + ? WHERE id = ?`,
    ...[reason, Number(failed), turnId],
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
    'UPDATE turns SET state = ?, reason = ?, ended_at = ? WHERE id = ?',
    ...[state, reason, nowMs, turnId],
  );
}

export function addUsage(
  store: Store,
  turnId: number,
  usage: { costUsd: number; inputTokens: number; outputTokens: number },
): void {
  store.run(
    `UPDATE turns SET cost_usd = cost_usd + ?, input_tokens = input_tokens + ?,
       output_tokens = output_tokens + ? WHERE id = ?`,
    ...[usage.costUsd, usage.inputTokens, usage.outputTokens, turnId],
  );
}
