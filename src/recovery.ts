/**
 * After a death of the host, at any instant: what its containers had said is applied, their
 * remains are removed, and unfinished turns are taken up again. Nothing is asked of anyone.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.ts';
import { runFolder } from './container-runner.ts';
import { listGroups } from './db/groups.ts';
import { hasUnclaimed } from './db/messages.ts';
import { endRun, listOpenRuns } from './db/runs.ts';
import { listOpenTurns, requeueTurn } from './db/turns.ts';
import type { Store } from './db.ts';
import { type IpcDependencies, OutReader, type Speaker } from './ipc.ts';
import { step } from './log.ts';
import type { Agent } from './types.ts';

export interface RecoveryDependencies extends IpcDependencies {
  findAgent(agentId: string): Agent | undefined;
}

/** Ends the runs that a dead host left, once no container of it lives any more. */
export async function settleRuns(deps: RecoveryDependencies): Promise<void> {
  for (const run of listOpenRuns(deps.store)) {
    const agent = deps.findAgent(run.agentId);
    if (agent) await applyRest(deps, agent, run.id, run.outMark);
    endRun(deps.store, run.id, { reason: 'host-died', detail: '' }, deps.clock.now());
    step(deps.log, 'run-ended', { run: run.id, agent: run.agentId, reason: 'host-died' });
  }
  removeRunFolders(deps.config);
}

async function applyRest(
  deps: RecoveryDependencies,
  agent: Agent,
  runId: number,
  mark: number,
): Promise<void> {
  const outDir = join(runFolder(deps.config, agent.id, runId), 'out');
  if (!existsSync(outDir)) return;
  // Nobody is there to be answered.
  const nothing = () => {};
  const speaker: Speaker = { runId, agent, send: nothing, kill: nothing, noteAlive: nothing };
  const reader = new OutReader(deps, speaker, outDir, mark);
  await reader.drain();
  reader.close();
}

function removeRunFolders(config: Config): void {
  const agentsDir = join(config.dataDir, 'agents');
  if (!existsSync(agentsDir)) return;
  for (const agentId of readdirSync(agentsDir))
    for (const name of readdirSync(join(agentsDir, agentId)))
      if (name.startsWith('run-'))
        rmSync(join(agentsDir, agentId, name), { recursive: true, force: true });
}

/** Puts interrupted turns back into the line; returns the agents that have work to do. */
export function recoverTurns(store: Store): string[] {
  const agents = new Set<string>();
  for (const turn of listOpenTurns(store)) {
    if (turn.state === 'running') requeueTurn(store, turn.id, 'host-died', false);
    agents.add(turn.agentId);
  }
  for (const group of listGroups(store))
    if (hasUnclaimed(store, group.chatId)) agents.add(group.folder);
  return [...agents];
}
