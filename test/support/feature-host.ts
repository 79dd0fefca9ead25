/** What a feature is given, with the real store, outbox and agents, but no channel and no container. */
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { Agents } from '../../src/agents.ts';
import { Approvals } from '../../src/approvals.ts';
import type { Command } from '../../src/commands.ts';
import { defaultLimits, type Limits, loadConfig } from '../../src/config.ts';
import { Ledger } from '../../src/egress/ledger.ts';
import { noWeb, Web } from '../../src/egress/web.ts';
import type { FeatureHost } from '../../src/feature.ts';
import { Outbox } from '../../src/outbox.ts';
import { createOwner } from '../../src/owner.ts';
import { prepareState } from '../../src/state-folders.ts';
import { HeldClock } from './held-clock.ts';
import { openTemporaryStore, temporaryFolder } from './store.ts';

export function openFeatureHost(changes: Partial<Limits> = {}) {
  const home = temporaryFolder();
  const config = loadConfig({ NANOCLAW_HOME: home }, home);
  prepareState(config);
  const clock = new HeldClock();
  const limits = { ...defaultLimits, ...changes };
  const log = pino({ level: 'silent' });
  const base = { config, limits, clock, log, store: openTemporaryStore() };
  const channelOf = () => undefined;
  const woken: string[] = [];
  const wake = (agentId: string) => void woken.push(agentId);
  const outbox = new Outbox({
    ...base,
    channelOf,
    leaving: () => {},
    delivered: () => {},
    refused: () => {},
    ended: () => {},
  });
  const owner = createOwner({ ...base, outbox });
  const ledger = new Ledger(base);
  onTestFinished(() => {
    outbox.close();
    ledger.close();
  });
  const agents = new Agents({ ...base, outbox, owner, channelOf, wake });
  /** Filled by the test: those that agents may ask for. */
  const commands: Command[] = [];
  const findCommand = (name: string) => commands.find((command) => command.name === name);
  const host: FeatureHost = {
    ...base,
    agents,
    approvals: new Approvals({ ...base, agents, outbox, findCommand }),
    owner,
    web: new Web(noWeb),
    ledger,
    work: {
      stop: () => ({ isStopped: false, withdrawn: 0 }),
      renew: () => ({ isStopped: false, withdrawn: 0 }),
      restart: () => {},
      stateOf: () => 'idle',
      count: () => 0,
    },
    describe: () => [],
    status: () => [],
    reach: () => [],
    retention: () => [],
  };
  return { ...base, host, outbox, owner, agents, commands, woken };
}
