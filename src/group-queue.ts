/**
 * Who runs when: one turn per agent at a time, a cap on how many agents hold a slot, the
 * longest-idle holder evicted when another waits, first come first served. Knows agents by
 * id only; it has no idea what a turn or a container is.
 */
import type { Clock } from './types.ts';

/** What a run says about the agent's next one. */
export type NextRun = { kind: 'none' } | { kind: 'retry'; afterMs: number };

export interface QueueDependencies {
  slotsMax: number;
  clock: Clock;
  /** Runs one turn. Must not reject; a rejection frees the slot and is reported. */
  run(agentId: string): Promise<NextRun>;
  /** Something arrived for an agent whose turn is running; true when that turn has taken it. */
  nudge(agentId: string): boolean;
  /** Whether the agent still holds what its slot is for, now that its turn has ended. */
  isWarm(agentId: string): boolean;
  /** An agent that holds a slot without a turn is evicted after this. */
  idleTimeoutMs: number;
  /** Asks an agent without a turn to give up its slot; `release` follows. */
  evict(agentId: string, reason: 'idle' | 'evicted'): void;
  failed(agentId: string, error: unknown): void;
  /** A turn has ended, or the wait for one. */
  settled(agentId: string): void;
}

interface Member {
  state: 'waiting' | 'running' | 'idle' | 'leaving' | 'backing-off';
  /** Something arrived that the present run may not have seen. */
  again: boolean;
  /** Cancels the timer of this state: another attempt, or the end of idling. */
  cancelTimer: () => void;
}

export class GroupQueue {
  readonly #deps: QueueDependencies;
  readonly #members = new Map<string, Member>();
  /** Agents without a slot, first come first served. */
  readonly #waiting: string[] = [];
  /** Agents that hold a slot without a turn, longest idle first. */
  readonly #idle: string[] = [];
  #slotsUsed = 0;
  #closed = false;

  constructor(deps: QueueDependencies) {
    this.#deps = deps;
  }

  /** Says that there is work for an agent. Any number of calls leads to at least one look. */
  enqueue(agentId: string): void {
    if (this.#closed) return;
    const member = this.#members.get(agentId);
    switch (member?.state) {
      case undefined:
        this.#queueUp(agentId);
        break;
      case 'idle':
        this.#idle.splice(this.#idle.indexOf(agentId), 1);
        this.#start(agentId);
        break;
      case 'running':
        member.again = !this.#deps.nudge(agentId) || member.again;
        break;
      case 'leaving':
        member.again = true;
        break;
      case 'waiting':
      case 'backing-off':
        break;
    }
  }

  /** An agent without a turn has lost what its slot was for. */
  release(agentId: string): void {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle') this.#idle.splice(this.#idle.indexOf(agentId), 1);
    else if (member?.state !== 'leaving') return;
    this.#free(agentId, member.again);
  }

  /** Ends the wait for a slot or for another attempt. */
  cancel(agentId: string): void {
    const member = this.#members.get(agentId);
    if (member?.state === 'waiting') this.#waiting.splice(this.#waiting.indexOf(agentId), 1);
    else if (member?.state !== 'backing-off') return;
    member.cancelTimer();
    this.#members.delete(agentId);
    this.#deps.settled(agentId);
  }

  /** Whether a turn of the agent runs, waits for a slot or waits for another attempt. */
  isBusy(agentId: string): boolean {
    const member = this.#members.get(agentId);
    if (member?.state === 'idle' || member?.state === 'leaving') return member.again;
    return member !== undefined;
  }

  counts(): { running: number; idle: number; waiting: number } {
    return {
      running: [...this.#members.values()].filter(({ state }) => state === 'running').length,
      idle: this.#idle.length,
      waiting: this.#waiting.length,
    };
  }

  /** Starts nothing more. */
  close(): void {
    this.#closed = true;
    for (const member of this.#members.values()) member.cancelTimer();
  }

  #queueUp(agentId: string): void {
    this.#members.set(agentId, { state: 'waiting', again: false, cancelTimer: () => {} });
    this.#waiting.push(agentId);
    this.#grant();
  }

  #grant(): void {
    while (this.#waiting.length > 0 && !this.#closed) {
      if (this.#slotsUsed >= this.#deps.slotsMax) {
        this.#makeRoom();
        return;
      }
      const agentId = this.#waiting.shift();
      if (agentId === undefined) return;
      this.#slotsUsed += 1;
      this.#start(agentId);
    }
  }

  /** Evicts as many idle holders as there are agents waiting, less those already leaving. */
  #makeRoom(): void {
    const leaving = [...this.#members.values()].filter(({ state }) => state === 'leaving').length;
    const wanted = Math.max(0, this.#waiting.length - leaving);
    for (const agentId of this.#idle.splice(0, wanted)) this.#evict(agentId);
  }

  #evict(agentId: string, reason: 'idle' | 'evicted' = 'evicted'): void {
    const member = this.#members.get(agentId);
    if (!member) return;
    member.cancelTimer();
    member.state = 'leaving';
    this.#deps.evict(agentId, reason);
  }

  #start(agentId: string): void {
    const member = this.#members.get(agentId);
    if (!member) return;
    member.cancelTimer();
    member.state = 'running';
    member.again = false;
    this.#deps.run(agentId).then(
      (next) => this.#ended(agentId, member, next),
      (error: unknown) => {
        this.#deps.failed(agentId, error);
        this.#ended(agentId, member, { kind: 'none' });
      },
    );
  }

  #ended(agentId: string, member: Member, next: NextRun): void {
    if (next.kind === 'retry') this.#backOff(agentId, member, next.afterMs);
    else if (!this.#deps.isWarm(agentId)) this.#free(agentId, member.again);
    else if (!member.again) {
      member.state = 'idle';
      this.#idle.push(agentId);
      member.cancelTimer = this.#deps.clock.after(this.#deps.idleTimeoutMs, () => {
        this.#idle.splice(this.#idle.indexOf(agentId), 1);
        this.#evict(agentId, 'idle');
      });
      this.#grant();
    } else if (this.#waiting.length === 0) this.#start(agentId);
    // More work here, but others came first: to the end of the line.
    else this.#evict(agentId);
    this.#deps.settled(agentId);
  }

  #free(agentId: string, again: boolean): void {
    this.#members.get(agentId)?.cancelTimer();
    this.#members.delete(agentId);
    this.#slotsUsed -= 1;
    if (again && !this.#closed) this.#queueUp(agentId);
    this.#grant();
  }

  #backOff(agentId: string, member: Member, afterMs: number): void {
    this.#slotsUsed -= 1;
    if (this.#closed) return;
    member.state = 'backing-off';
    member.cancelTimer = this.#deps.clock.after(afterMs, () => this.#queueUp(agentId));
    this.#grant();
  }
}
