/**
 * What a feature is and what it is given. A feature is all that is not needed to carry a message
 * from a person to an agent and back; it stands in a folder of its own and knows no other.
 */
import type { Agents } from './agents.ts';
import type { Base } from './base.ts';
import type { Command } from './commands.ts';
import type { Ledger } from './egress/ledger.ts';
import type { Web, WebPolicy } from './egress/web.ts';
import type { Mount } from './runtimes/container-spec.ts';
import type { Tool } from './tools.ts';
import type { Agent, Group, Owner } from './types.ts';

export interface Feature {
  /** Stands in the store, beside the number of its migrations: it never changes. */
  name: string;
  /** Entry n takes its tables from version n to n + 1. Never edit one that was released. */
  migrations: readonly string[];
  create(host: FeatureHost): Parts;
}

/** What a feature brings; each is optional. */
export interface Parts {
  tools?: Tool[];
  commands?: Command[];
  /** For the system prompt of each agent that may use one of its tools. */
  instructions?: string;
  /** What an agent sees beside its own folders; asked at each start of a container. */
  mounts?(agent: Agent): Mount[];
  /** Its rows that have ended go after a while. */
  retention?: Expiry[];
  /** Lines for /status in a group's chat. */
  status?(group: Group): string[];
  /** What a group may reach of the web. Only one feature can decide it; without one, nothing. */
  webPolicy?: WebPolicy;
  /** After recovery and the channels, before agents are woken. */
  start?(): void;
  stop?(): void;
}

/** Rows of `table` in which the column `endedAt` lies longer back than `keepMs` go. */
export interface Expiry {
  table: string;
  endedAt: string;
  keepMs: number;
}

export interface FeatureHost extends Base {
  /** Creates agents, posts to them, speaks for them. */
  agents: Agents;
  owner: Owner;
  work: Work;
  web: Web;
  ledger: Ledger;
  /** Runtime, model, channels, and where the state lies: a line each. */
  describe(): string[];
  /** What the features say of a group. */
  status(group: Group): string[];
  /** What the features keep for a while only. */
  retention(): Expiry[];
}

/** What agents are at. Each of these takes effect when the caller's transaction is committed. */
export interface Work {
  /** Ends the agent's turn and what waits for it; false when there is nothing. */
  stop(agentId: string): boolean;
  /** As `stop`; forgets the conversation as well. */
  renew(agentId: string): void;
  /** Replaces an idle container, and with `interrupt` one at work; its turn then goes on. */
  restart(agentId: string, options: { interrupt: boolean }): void;
  stateOf(agentId: string): 'working' | 'waiting' | 'idle';
  count(state: 'running' | 'idle' | 'waiting'): number;
}
