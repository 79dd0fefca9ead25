/**
 * Decides which agent runs when: one turn per agent, a limited number of slots, first come first
 * served. Evicts the agent that has idled longest when another waits. Only main's own agent never
 * waits. Does not know what a turn or a container is.
 */
import type { Clock } from './types.ts';

export type NextRun = { kind: 'none' } | { kind: 'retry'; afterMs: number };

export interface QueueDependencies {
  slotsMax: number;
  /** An agent that holds a slot without a turn is evicted after this. */
  idleTimeoutMs: number;
  clock: Clock;
  /** Runs one turn. Resolves when it has ended. */
  run(agentId: string): Promise<NextRun>;
  /**
   * Called when something arrives for an agent whose turn runs. True when that turn has taken it.
   */
  nudge(agentId: string): boolean;
  /** Whether the agent still uses its slot, now that its turn has ended. */
  isWarm(agentId: string): boolean;
  /** Prepares what the agent's next turn needs. */
  warm(agentId: string): void;
  /** Asks an agent to give up its slot. If it has no turn, a call of `release` follows. */
  evict(agentId: string, reason: 'idle' | 'evicted'): void;
  /** Whether the agent never waits for a slot: main's own. */
  isFirst(agentId: string): boolean;
  /** Called when `run` rejects. */
  failed(agentId: string, error: unknown): void;
  /** Called when the agent's turn, or its wait for one, has ended. */
  settled(agentId: string): void;
}

interface Member {
  id: string;
  state: 'waiting' | 'running' | 'idle' | 'leaving' | 'backing-off';
  /** Something arrived that the current turn may not have seen. */
  again: boolean;
  /** Cancels the timer of this state: the retry or the idle timeout. */
  cancelTimer: () => void;
}

export class GroupQueue {
  readonly #deps: QueueDependencies;
  readonly #members = new Map<string, Member>();
  #state: 'held' | 'open' | 'closed' = 'held';

  constructor(deps: QueueDependencies) {
    this.#deps = deps;
  }

  /** Starts to give out slots. Until then, every agent that has work waits. */
  open(): void {
    this.#state = 'open';
    this.#grant();
  }

  /** An agent has work. After any number of calls, `run` or `nudge` looks for it at least once. */
  enqueue(agentId: string): void {
    const member = this.#members.get(agentId);
    if (this.#state === 'closed') return;
    if (!member) this.#queueUp(agentId);
    else if (member.state === 'idle') this.#start(member);
    else if (member.state === 'running') {
      const missed = member.again;
      // Stays so if the nudge throws.
      member.again = true;
      member.again = !this.#deps.nudge(agentId) || missed;
    } else if (member.state === 'leaving') member.again = true;
  }

  /** Gives an agent a slot before it has work. Does nothing when no slot is free. */
  warm(agentId: string): void {
    const isFull = this.#members.size >= this.#deps.slotsMax;
    if (this.#state !== 'open' || isFull || this.#members.has(agentId)) return;
    const member: Member = { id: agentId, state: 'idle', again: false, cancelTimer: () => {} };
    this.#deps.warm(agentId);
    this.#rest(member);
  }

  /** Frees the slot of an agent that has no turn. */
  release(agentId: string): void {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle' || member?.state === 'leaving') this.#free(member);
  }

  /** Evicts an agent that has no turn. With `interrupt`, also one whose turn runs. */
  evict(agentId: string, { interrupt }: { interrupt: boolean }): void {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle') this.#evict(member, 'evicted');
    else if (member?.state === 'running' && interrupt) this.#deps.evict(agentId, 'evicted');
  }

  /** Removes an agent that waits for a slot or for a retry. */
  cancel(agentId: string): void {
    const state = this.#members.get(agentId)?.state;
    if (state !== 'waiting' && state !== 'backing-off') return;
    this.#forget(agentId);
    this.#deps.settled(agentId);
  }

  /** Whether a turn of the agent runs, waits for a slot or waits for a retry. */
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

  /** Members in a state, in the order in which they entered it, which `#enter` keeps. */
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

  /** Gives free slots to waiting agents, and evicts idle agents for the rest. */
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
    // It has more work, but others wait: it goes to the end of the queue.
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
