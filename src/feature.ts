/**
 * What a feature is and what it is given. A feature is whatever is not needed to carry a message
 * from a person to an agent and back. It has a folder of its own and knows no other feature.
 */
import type { Agents } from './agents.ts';
import type { Approvals } from './approvals.ts';
import type { Base } from './base.ts';
import type { Command } from './commands.ts';
import type { Ledger } from './egress/ledger.ts';
import type { Web, WebPolicy } from './egress/web.ts';
import type { Mount } from './runtimes/container-spec.ts';
import type { Tool } from './tools.ts';
import type { Agent, Group, Owner } from './types.ts';

export interface Feature {
  /** Never changes, because the store keeps the version of the feature's tables under it. */
  name: string;
  /** Entry n takes its tables from version n to n + 1. Never edit one that was released. */
  migrations: readonly string[];
  create(host: FeatureHost): Parts;
}

/** What a feature adds. Each part is optional. */
export interface Parts {
  tools?: Tool[];
  commands?: Command[];
  /** For the system prompt of each agent that may use one of its tools. */
  instructions?: string;
  /** Mounts beside an agent's own folders. Called at each start of a container. */
  mounts?(agent: Agent): Mount[];
  /** Which of its rows are deleted after a while. */
  retention?: Expiry[];
  /** Lines for /status in a group's chat. */
  status?(group: Group): string[];
  /** What a group may reach, in lines for /groups. */
  reach?(group: Group): string[];
  /** What a group may reach of the web. Only one feature can decide it; without one, nothing. */
  webPolicy?: WebPolicy;
  /** Called after recovery and the channels, before agents are woken. */
  start?(): void;
  stop?(): void;
}

/** Rows of `table` are deleted when the time in the column `endedAt` is more than `keepMs` ago. */
export interface Expiry {
  table: string;
  endedAt: string;
  keepMs: number;
}

export interface FeatureHost extends Base {
  /** Creates agents, posts to them, speaks for them. */
  agents: Agents;
  owner: Owner;
  /** Asks the owner, in the name of an agent. */
  approvals: Approvals;
  work: Work;
  web: Web;
  ledger: Ledger;
  /** One line each about runtime, model, channels and state folder. */
  describe(): string[];
  /** The lines of all features for /status in a group's chat. */
  status(group: Group): string[];
  /** What a group may reach, by all features, for /groups. */
  reach(group: Group): string[];
  /** The rows of all features that are deleted after a while. */
  retention(): Expiry[];
}

/**
 * Asks and controls what agents do. A change takes effect when the caller's transaction commits.
 */
export interface Work {
  /** Ends the agent's turn and what waits for it, and withdraws what it has said. */
  stop(agentId: string): Stopped;
  /** Does what `stop` does, and forgets the conversation; files and CLAUDE.md stay. */
  renew(agentId: string): Stopped;
  /**
   * Closes an idle container, so that the next turn gets a new one. With `interrupt`, also closes
   * one at work; its turn goes on in a new one.
   */
  restart(agentId: string, options: { interrupt: boolean }): void;
  stateOf(agentId: string): 'working' | 'waiting' | 'idle';
  count(state: 'running' | 'idle' | 'waiting'): number;
}

export interface Stopped {
  /** False when there was nothing to stop. */
  isStopped: boolean;
  /** The number of messages that were waiting for delivery. */
  withdrawn: number;
}
