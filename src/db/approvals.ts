/** What agents have asked the owner for, and what became of it. */
import type { Store } from '../db.ts';

/** `refused`: the owner said yes, but it could not be carried out any more. */
export type ApprovalState = 'pending' | 'approved' | 'rejected' | 'refused' | 'expired';

export interface Approval {
  id: number;
  agentId: string;
  /** The name of a command, and its arguments as JSON. */
  command: string;
  args: string;
  /** The description of the command that the owner is shown. */
  shown: string;
  state: ApprovalState;
  askedAtMs: number;
  /** The outgoing message that shows it; null before there is one. */
  outboxId: string | null;
}

export type NewApproval = Pick<Approval, 'agentId' | 'command' | 'args' | 'shown' | 'askedAtMs'>;

const select = `SELECT id, agent_id AS agentId, command, args, shown, state,
  asked_at AS askedAtMs, outbox_id AS outboxId FROM approvals`;

export function saveApproval(store: Store, approval: NewApproval): number {
  return store.run(
    `INSERT INTO approvals (agent_id, command, args, shown, asked_at)
     VALUES (:agentId, :command, :args, :shown, :askedAtMs)`,
    { ...approval },
  ).id;
}

export function findApproval(store: Store, id: number): Approval | undefined {
  return store.get(`${select} WHERE id = :id`, { id });
}

/** The agent's latest request for exactly the same. */
export function findSameApproval(store: Store, like: NewApproval): Approval | undefined {
  const { agentId, command, args } = like;
  const sql = `${select} WHERE agent_id = :agentId AND command = :command AND args = :args
    ORDER BY id DESC LIMIT 1`;
  return store.get(sql, { agentId, command, args });
}

/** The requests that wait for an answer. */
export function listApprovals(store: Store): Approval[] {
  return store.all(`${select} WHERE state = 'pending' ORDER BY id`);
}

export function listShownBy(store: Store, outboxId: string): Approval[] {
  return store.all(`${select} WHERE outbox_id = :outboxId ORDER BY id`, { outboxId });
}

export function saveShownBy(store: Store, id: number, outboxId: string): void {
  store.run('UPDATE approvals SET outbox_id = :outboxId WHERE id = :id', { id, outboxId });
}

export function endApproval(store: Store, id: number, state: ApprovalState, nowMs: number): void {
  const sql = 'UPDATE approvals SET state = :state, ended_at = :nowMs WHERE id = :id';
  store.run(sql, { id, state, nowMs });
}
