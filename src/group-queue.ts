/**
 * Who runs when: one turn per agent at a time, a cap on slots, the longest-idle holder evicted
 * when another waits, first come first served; only main never waits. Has no idea what a turn or a
 * container is.
 */
import type { Clock } from './types.ts';

export type NextRun = { kind: 'none' } | { kind: 'retry'; afterMs: number };

export interface QueueDependencies {
  slotsMax: number;
  /** An agent that holds a slot without a turn is evicted after this. */
  idleTimeoutMs: number;
  clock: Clock;
  /** Runs one turn. */
  run(agentId: string): Promise<NextRun>;
  /** Something arrived for an agent whose turn is running; true when that turn has taken it. */
  nudge(agentId: string): boolean;
  /** Whether the agent still holds what its slot is for, now that its turn has ended. */
  isWarm(agentId: string): boolean;
  /** Prepares what the agent's next turn needs. */
  warm(agentId: string): void;
  /** Asks an agent without a turn to give up its slot; `release` follows. */
  evict(agentId: string, reason: 'idle' | 'evicted'): void;
  /** Whether it never waits for a slot: main's own. */
  isFirst(agentId: string): boolean;
  failed(agentId: string, error: unknown): void;
  settled(agentId: string): void;
}

interface Member {
  id: string;
  state: 'waiting' | 'running' | 'idle' | 'leaving' | 'backing-off';
  /** Something arrived that the present turn may not have seen. */
  again: boolean;
  /** Cancels the timer of this state: another attempt, or the end of idling. */
  cancelTimer: () => void;
}

export class GroupQueue {
  readonly #deps: QueueDependencies;
  readonly #members = new Map<string, Member>();
  #state: 'held' | 'open' | 'closed' = 'held';

  constructor(deps: QueueDependencies) {
    this.#deps = deps;
  }

  /** Gives out slots from now on; until then whoever has work waits. */
  open(): void {
    this.#state = 'open';
    this.#grant();
  }

  /** Says that there is work for an agent. Any number of calls leads to at least one look. */
  enqueue(agentId: string): void {
    const member = this.#members.get(agentId);
    if (this.#state === 'closed') return;
    if (!member) this.#queueUp(agentId);
    else if (member.state === 'idle') this.#start(member);
    else if (member.state === 'running') member.again ||= !this.#deps.nudge(agentId);
    else if (member.state === 'leaving') member.again = true;
  }

  /** A head start for an agent that has no slot: only into a free one that nobody waits for. */
  warm(agentId: string): void {
    const isFull = this.#members.size >= this.#deps.slotsMax;
    if (this.#state !== 'open' || isFull || this.#members.has(agentId)) return;
    const member: Member = { id: agentId, state: 'idle', again: false, cancelTimer: () => {} };
    this.#deps.warm(agentId);
    this.#rest(member);
  }

  /** An agent without a turn has lost what its slot was for. */
  release(agentId: string): void {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle' || member?.state === 'leaving') this.#free(member);
  }

  /** Takes the slot of an agent without a turn, and with `interrupt` what a running turn works in. */
  evict(agentId: string, { interrupt }: { interrupt: boolean }): void {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle') this.#evict(member, 'evicted');
    else if (member?.state === 'running' && interrupt) this.#deps.evict(agentId, 'evicted');
  }

  /** Ends the wait for a slot or for another attempt. */
  cancel(agentId: string): void {
    const state = this.#members.get(agentId)?.state;
    if (state !== 'waiting' && state !== 'backing-off') return;
    this.#forget(agentId);
    this.#deps.settled(agentId);
  }

  /** Whether a turn of the agent runs, waits for a slot or waits for another attempt. */
  isBusy(agentId: string): boolean {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle' || member?.state === 'leaving') return member.again;
    return member !== undefined;
  }

  count(state: Member['state']): number {
    return this.#listIn(state).length;
  }

  close(): void {
    this.#state = 'closed';
    for (const member of this.#members.values()) member.cancelTimer();
  }

  /** Members in a state, the first that entered it first: see `#enter`. */
  #listIn(state: Member['state']): Member[] {
    return [...this.#members.values()].filter((member) => member.state === state);
  }

  #queueUp(agentId: string): void {
    this.#enter({ id: agentId, state: 'waiting', again: false, cancelTimer: () => {} }, 'waiting');
    this.#grant();
  }

  /** Moves a member into a state, behind all that are in it already. */
  #enter(member: Member, state: Member['state']): void {
    this.#forget(member.id);
    member.state = state;
    member.cancelTimer = () => {};
    this.#members.set(member.id, member);
  }

  #forget(agentId: string): void {
    this.#members.get(agentId)?.cancelTimer();
    this.#members.delete(agentId);
  }

  /** Gives free slots to who waits; evicts idle holders for the rest. */
  #grant(): void {
    if (this.#state !== 'open') return;
    const leaving = this.count('leaving');
    const used = this.count('running') + this.count('idle') + leaving;
    const waiting = this.#listIn('waiting');
    const free = Math.max(0, this.#deps.slotsMax - used);
    const granted = waiting.filter(({ id }, index) => index < free || this.#deps.isFirst(id));
    const over = Math.max(0, used + granted.length - this.#deps.slotsMax);
    const wanted = Math.max(0, waiting.length - granted.length + over - leaving);
    for (const member of granted) this.#start(member);
    for (const member of this.#listIn('idle').slice(0, wanted)) this.#evict(member, 'evicted');
  }

  #evict(member: Member, reason: 'idle' | 'evicted'): void {
    this.#enter(member, 'leaving');
    this.#deps.evict(member.id, reason);
  }

  #start(member: Member): void {
    this.#enter(member, 'running');
    member.again = false;
    const ended = (next: NextRun) => {
      this.#ended(member, next);
      this.#deps.settled(member.id);
    };
    this.#deps.run(member.id).then(ended, (error: unknown) => {
      this.#deps.failed(member.id, error);
      ended({ kind: 'none' });
    });
  }

  #ended(member: Member, next: NextRun): void {
    const { clock, isWarm } = this.#deps;
    if (next.kind === 'retry') {
      this.#enter(member, 'backing-off');
      if (this.#state === 'closed') return;
      member.cancelTimer = clock.after(next.afterMs, () => this.#queueUp(member.id));
      this.#grant();
    } else if (!isWarm(member.id)) this.#free(member);
    else if (!member.again) {
      this.#rest(member);
      this.#grant();
    } else if (this.count('waiting') === 0) this.#start(member);
    // More work here, but others came first: to the end of the line.
    else this.#evict(member, 'evicted');
  }

  #rest(member: Member): void {
    const { clock, idleTimeoutMs } = this.#deps;
    this.#enter(member, 'idle');
    member.cancelTimer = clock.after(idleTimeoutMs, () => this.#evict(member, 'idle'));
  }

  #free({ id, again }: Member): void {
    this.#forget(id);
    if (again) this.enqueue(id);
    this.#grant();
  }
}
