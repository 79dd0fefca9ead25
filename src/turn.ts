/**
 * Turns: claims messages, builds prompts, runs, commits. Each attempt ends with a recorded reason,
 * and leads to a retry or to a sentence in the chat. Keeps the warm containers. Does not decide who
 * runs when.
 */
import type { Agents } from './agents.ts';
import type { Base } from './base.ts';
import type { Run } from './container-runner.ts';
import { loadAgent } from './db/agents.ts';
import { claimMessages, closeUnclaimed, hasUnclaimed, settleMessages } from './db/messages.ts';
import { deleteSession } from './db/runs.ts';
import { endTurn, findOpenTurn, requeueTurn, saveTurn, startTurn, type Turn } from './db/turns.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { Stopped, Work } from './feature.ts';
import type { GroupQueue, NextRun } from './group-queue.ts';
import { step } from './log.ts';
import { type PromptDependencies, takePrompts } from './prompts.ts';
import type { InFile } from './protocol.ts';
import type { Router } from './router.ts';
import { freeBytes } from './runtimes/folder-watch.ts';
import { type TurnEnd, verdictOf } from './turn-end.ts';
import type { Agent } from './types.ts';

const diskFullNotice =
  "This machine's disk is full. Your message is kept: I answer it when there is room again.";

export interface TurnDependencies extends Base, PromptDependencies {
  agents: Agents;
  queue: GroupQueue;
  router: Router;
  /** Takes back what the agent has said and is not delivered. Returns the number of messages. */
  withdraw(agentId: string): number;
  startRun(agent: Agent): Run;
}

/** The ledger flushes before the first byte to the model, and so before the agent can act. */
const claiming = { flush: false };

interface ActiveTurn {
  turn: Turn;
  run: Run;
  end: Deferred<TurnEnd>;
}

export class Turns implements Work {
  readonly #deps: TurnDependencies;
  readonly #active = new Map<string, ActiveTurn>();
  readonly #runs = new Map<string, Run>();
  /** Agents whose people know that the disk is full. */
  readonly #toldFull = new Set<string>();

  constructor(deps: TurnDependencies) {
    this.#deps = deps;
  }

  /**
   * Runs one turn of the agent, if it has work. Resolves when the end of the attempt is committed.
   */
  async take(agentId: string): Promise<NextRun> {
    const agent = loadAgent(this.#deps.store, agentId);
    if (this.#hasWork(agent) && (await this.#isDiskFull(agent)))
      return { kind: 'retry', afterMs: this.#deps.limits.diskRetryMs };
    const last = this.#runs.get(agentId);
    // A container that is still closing holds the agent's session.
    if (last && !last.isOpen) await last.ended;
    if (!this.#hasWork(agent)) return { kind: 'none' };
    const run = last?.isOpen ? last : this.#start(agent);
    const turn = this.#claim(agent, run);
    if (!turn) return { kind: 'none' };
    return this.#conclude(agent, turn, await this.#attempt(turn, run));
  }

  /**
   * Hands what arrived to the agent's running turn. False when some of it must wait for the next.
   */
  nudge(agentId: string): boolean {
    const active = this.#active.get(agentId);
    if (!active?.run.isOpen) return false;
    const { store } = this.#deps;
    const agent = loadAgent(store, agentId);
    const take = () => takePrompts(this.#deps, agent, this.#gather(agent), null);
    const prompts = store.transaction(take, claiming);
    this.#send(active.run, prompts);
    return !hasUnclaimed(store, agent.inbox);
  }

  isWarm(agentId: string): boolean {
    return this.#runs.get(agentId)?.isOpen === true;
  }

  warm(agentId: string): void {
    if (!this.#runs.has(agentId)) this.#start(loadAgent(this.#deps.store, agentId));
  }

  evict(agentId: string, reason: 'idle' | 'evicted'): void {
    this.#runs.get(agentId)?.close(reason);
  }

  /** Ends the turn's current attempt, if it still runs. */
  end({ id, agentId }: Turn, end: TurnEnd): void {
    const active = this.#active.get(agentId);
    if (active?.turn.id !== id) return;
    this.#active.delete(agentId);
    active.end.resolve(end);
  }

  stop(agentId: string): Stopped {
    const { store, clock, queue, router, withdraw } = this.#deps;
    const agent = loadAgent(store, agentId);
    const { inbox } = agent;
    const hasWork = this.#hasWork(agent);
    return store.transaction(() => {
      const withdrawn = withdraw(agentId);
      if (!hasWork && !router.isReceiving(inbox)) return { isStopped: withdrawn > 0, withdrawn };
      store.afterCommit(() => {
        router.stopReceiving(inbox);
        const active = this.#active.get(agentId);
        active?.run.kill('stopped');
        if (active) this.end(active.turn, { kind: 'done' });
        queue.cancel(agentId);
      });
      if (hasWork) {
        const turnId = this.#gather(agent);
        settleMessages(store, turnId, 'close', clock.now());
        closeUnclaimed(store, inbox, clock.now());
        endTurn(store, turnId, 'stopped', 'stopped', clock.now());
      }
      return { isStopped: true, withdrawn };
    });
  }

  renew(agentId: string): Stopped {
    const { store } = this.#deps;
    const stopped = this.stop(agentId);
    deleteSession(store, agentId);
    store.afterCommit(() => this.#runs.get(agentId)?.kill('new-session'));
    return stopped;
  }

  restart(agentId: string, options: { interrupt: boolean }): void {
    const { store, queue } = this.#deps;
    store.afterCommit(() => queue.evict(agentId, options));
  }

  stateOf(agentId: string): 'working' | 'waiting' | 'idle' {
    if (this.#active.has(agentId)) return 'working';
    return this.#deps.queue.isBusy(agentId) ? 'waiting' : 'idle';
  }

  count(state: 'running' | 'idle' | 'waiting'): number {
    return this.#deps.queue.count(state);
  }

  /** Ends all containers, and resolves when they are gone. Open turns go on at the next start. */
  async shutdown(): Promise<void> {
    const runs = [...this.#runs.values()];
    for (const run of runs) run.kill('shutdown');
    await Promise.all(runs.map((run) => run.ended));
  }

  #hasWork({ id, inbox }: Agent): boolean {
    const { store } = this.#deps;
    return findOpenTurn(store, id) !== undefined || hasUnclaimed(store, inbox);
  }

  /** Claims what waits for the agent's open turn, or for a new one, and returns the turn's id. */
  #gather(agent: Agent): number {
    const { store, clock, limits } = this.#deps;
    const turnId = findOpenTurn(store, agent.id)?.id ?? saveTurn(store, agent.id, clock.now());
    claimMessages(store, agent.inbox, turnId, limits.promptMessagesMax);
    return turnId;
  }

  /** Starts an attempt. Undefined when all messages of the turn have been deleted. */
  #claim(agent: Agent, run: Run): Turn | undefined {
    const { store, clock, log } = this.#deps;
    const { turn, prompts } = store.transaction(() => {
      const turnId = this.#gather(agent);
      settleMessages(store, turnId, 'again', clock.now());
      const turn = startTurn(store, agent.id);
      if (!turn) throw new Error('the turn is gone');
      const prompts = takePrompts(this.#deps, agent, turnId, turn.reason);
      if (prompts.length === 0) endTurn(store, turnId, 'done', 'taken back', clock.now());
      return { turn, prompts };
    }, claiming);
    if (prompts.length === 0) return undefined;
    step(log, 'turn-claimed', { agent: agent.id, turn: turn.id, attempt: turn.attempt });
    this.#send(run, prompts);
    return turn;
  }

  #send(run: Run, prompts: InFile[]): void {
    for (const prompt of prompts) run.send(prompt);
    step(this.#deps.log, 'prompt-handed', { agent: run.agent.id, prompts: prompts.length });
  }

  async #attempt(turn: Turn, run: Run): Promise<TurnEnd> {
    const { clock, limits, agents } = this.#deps;
    const ending = deferred<TurnEnd>();
    this.#active.set(turn.agentId, { turn, run, end: ending });
    const cancelLimit = clock.after(limits.turnTimeoutMs, () => run.kill('turn-timeout'));
    void run.ended.then((end) => this.end(turn, { kind: 'run-ended', end }));
    agents.showActivity(run.agent, 'thinking');
    const end = await ending.promise;
    cancelLimit();
    agents.showActivity(run.agent, null);
    if (end.kind === 'done' && run.isOpen) return end;
    run.kill('model-failed');
    await run.ended;
    return end;
  }

  /** Says so in the chat, once until there is room again. */
  async #isDiskFull(agent: Agent): Promise<boolean> {
    const { config, limits, agents, log } = this.#deps;
    if ((await freeBytes([config.homeDir])) >= limits.diskStartBytesMin) {
      this.#toldFull.delete(agent.id);
      return false;
    }
    if (!this.#toldFull.has(agent.id))
      try {
        agents.report(agent, diskFullNotice);
        this.#toldFull.add(agent.id);
      } catch (error) {
        log.error({ err: error, agent: agent.id }, 'the disk is full, and the chat does not know');
      }
    return true;
  }

  #start(agent: Agent): Run {
    const { queue, startRun } = this.#deps;
    const run = startRun(agent);
    this.#runs.set(agent.id, run);
    void run.ended.then(() => {
      this.#runs.delete(agent.id);
      queue.release(agent.id);
    });
    return run;
  }

  /** Commits what the end of an attempt means, and returns when to retry. */
  #conclude(agent: Agent, turn: Turn, end: TurnEnd): NextRun {
    const { store, log, clock, agents, limits } = this.#deps;
    log.info({ agent: agent.id, turn: turn.id, end }, 'attempt ended');
    if (end.kind === 'done' || findOpenTurn(store, agent.id)?.id !== turn.id) {
      step(log, 'turn-done', { agent: agent.id, turn: turn.id });
      return { kind: 'none' };
    }
    const verdict = verdictOf(end, turn, limits);
    store.transaction(() => {
      if (verdict.kind === 'again') {
        requeueTurn(store, turn.id, verdict.reason, verdict.counts);
        // The session of a first turn that was killed early may not be on disk yet. Nothing is lost
        // then.
        if (verdict.reason === 'session-lost' && !deleteSession(store, agent.id)) return;
      } else {
        settleMessages(store, turn.id, verdict.fate, clock.now());
        endTurn(store, turn.id, 'failed', verdict.reason, clock.now());
      }
      if (verdict.notice) agents.report(agent, verdict.notice);
    });
    return verdict.kind === 'again'
      ? { kind: 'retry', afterMs: verdict.afterMs }
      : { kind: 'none' };
  }
}
