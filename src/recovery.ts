/**
 * Recovery after a crash of the host at any instant. Applies what its containers had said, removes
 * what is left of them, and queues interrupted turns again. Asks nobody anything.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runFolder } from './container-runner.ts';
import { findAgent } from './db/agents.ts';
import { endRun, listOpenRuns } from './db/runs.ts';
import { listOpenTurns, requeueTurn } from './db/turns.ts';
import { type IpcDependencies, OutReader } from './ipc.ts';
import { step } from './log.ts';
import { emptyTrash, removeFolder } from './remove-folder.ts';

/** Recovers from a crash. Call it when no container of the earlier host runs any more. */
export async function recover(deps: IpcDependencies): Promise<void> {
  const { store, config, clock, log } = deps;
  const reason = 'host-died';
  emptyTrash(deps);
  // Nobody is there to get an answer.
  const nobody = { send() {}, kill() {}, noteAlive() {} };
  for (const { id: runId, agentId, outMark } of listOpenRuns(store)) {
    const dir = runFolder(config, agentId, runId);
    const outDir = join(dir, 'out');
    const agent = findAgent(store, agentId);
    if (agent && existsSync(outDir)) {
      const speaker = { ...nobody, runId, agent };
      await new OutReader(deps, speaker, outDir, outMark).drain();
    }
    removeFolder(dir, deps);
    endRun(store, runId, { reason, detail: '' }, clock.now());
    step(log, 'run-ended', { run: runId, agent: agentId, reason });
  }
  for (const turn of listOpenTurns(store))
    if (turn.state === 'running') requeueTurn(store, turn.id, reason, false);
}
