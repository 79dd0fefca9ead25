/** Runs, each the life of one container, and the sessions that outlive them. */
import type { Store } from '../db.ts';
import type { RunEnd } from '../types.ts';

export function saveRun(store: Store, agentId: string, nowMs: number): number {
  const sql = 'INSERT INTO runs (agent_id, started_at) VALUES (:agentId, :nowMs)';
  return store.run(sql, { agentId, nowMs }).id;
}

/** Runs that have not ended, or that had not when the host died. */
export function listOpenRuns(store: Store): { id: number; agentId: string; outMark: number }[] {
  return store.all(
    `SELECT id, agent_id AS agentId, out_mark AS outMark FROM runs
     WHERE ended_at IS NULL ORDER BY id`,
  );
}

export function saveOutMark(store: Store, runId: number, mark: number): void {
  store.run('UPDATE runs SET out_mark = :mark WHERE id = :runId', { runId, mark });
}

export function endRun(store: Store, runId: number, end: RunEnd, nowMs: number): void {
  const { reason, detail } = end;
  store.run(
    'UPDATE runs SET ended_at = :nowMs, reason = :reason, detail = :detail WHERE id = :runId',
    { runId, reason, detail, nowMs },
  );
}

export function findSession(store: Store, agentId: string): string | null {
  const sql = 'SELECT session_id AS id FROM sessions WHERE agent_id = :agentId';
  return store.get<{ id: string }>(sql, { agentId })?.id ?? null;
}

export function saveSession(store: Store, agentId: string, sessionId: string): void {
  store.run(
    `INSERT INTO sessions (agent_id, session_id) VALUES (:agentId, :sessionId)
     ON CONFLICT (agent_id) DO UPDATE SET
       total_cost_usd = iif(session_id = excluded.session_id, total_cost_usd, 0),
       session_id = excluded.session_id`,
    { agentId, sessionId },
  );
}

/** Forgets the session. Returns whether it had answered anything. */
export function deleteSession(store: Store, agentId: string): boolean {
  const sql = 'DELETE FROM sessions WHERE agent_id = :agentId RETURNING turns';
  return (store.get<{ turns: number }>(sql, { agentId })?.turns ?? 0) > 0;
}
