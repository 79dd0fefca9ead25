/**
 * Compares every available runtime with bubblewrap, in alternation so that all see the same load:
 * the life of a container that does nothing, and an agent's first reply. An unavailable runtime is
 * listed with the reason.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { detectRuntime } from '../src/runtimes/container-runtime.ts';
import type { Runtime } from '../src/runtimes/container-spec.ts';
import { findEngine } from '../src/runtimes/engines.ts';
import { type ScriptedModel, startScriptedModel } from '../test/scripted-model/scripted-model.ts';
import { runOne } from './containers.ts';
import { answer, askColdContainer, pauseMs } from './conversation.ts';
import { MeasuredHost } from './host-process.ts';
import { median, projectDir, rounded, say, took } from './measure.ts';

const engines = ['docker', 'podman', 'docker+runsc', 'podman+runsc'] as const;
const lives = 10;

interface Candidate {
  runtime: Runtime;
  lifeMs: number[];
  replyMs: number[];
}

/** Ratios relate to bubblewrap. */
interface Measured {
  lifeRatio: number;
  lifeMs: number;
  replyRatio: number;
  replyMs: number;
}

/** `dir` is a new folder for the state of the hosts. */
export async function measureRuntimes(
  dir: string,
  coldRounds: number,
): Promise<Record<string, Measured | { notHere: string }>> {
  const bubblewrap = candidate(await detectRuntime('bubblewrap', projectDir, process.env));
  const candidates = [bubblewrap];
  const notHere: Record<string, { notHere: string }> = {};
  for (const name of engines) {
    const found = await findUsable(name);
    if (typeof found === 'string') notHere[name] = { notHere: found };
    else candidates.push(candidate(found));
  }
  say(`${lives} containers of each runtime: ${candidates.map(nameOf).join(', ')}`);
  await runOne(bubblewrap.runtime, 0);
  await inTurns(candidates, lives, async ({ runtime, lifeMs }, round) => {
    lifeMs.push(await took(() => runOne(runtime, round)));
  });
  await measureReplies(dir, candidates, coldRounds);
  const [life, reply] = [median(bubblewrap.lifeMs), median(bubblewrap.replyMs)];
  const measured = candidates.map((each): [string, Measured] => [
    nameOf(each),
    {
      lifeRatio: rounded(median(each.lifeMs) / life),
      lifeMs: rounded(median(each.lifeMs), 1),
      replyRatio: rounded(median(each.replyMs) / reply),
      replyMs: rounded(median(each.replyMs), 1),
    },
  ]);
  return { ...Object.fromEntries(measured), ...notHere };
}

function candidate(runtime: Runtime): Candidate {
  return { runtime, lifeMs: [], replyMs: [] };
}

function nameOf({ runtime }: Candidate): string {
  return runtime.name;
}

/** An installed engine may still fail to start a container. The first container is not measured. */
async function findUsable(name: (typeof engines)[number]): Promise<Runtime | string> {
  const { runtime } = await findEngine(name, projectDir, process.env);
  if (typeof runtime === 'string') return runtime;
  try {
    await runOne(runtime, 0);
    return runtime;
  } catch (error) {
    return String(error);
  }
}

/** Runs one host for each runtime, all at once, with a new group for each round. */
async function measureReplies(dir: string, candidates: Candidate[], rounds: number) {
  const model = await startScriptedModel();
  model.otherwise(answer);
  const hosts = new Map<Candidate, MeasuredHost>();
  const folderOf = (each: Candidate) => join(dir, 'runtimes', nameOf(each));
  try {
    for (const each of candidates)
      hosts.set(each, await startHost(join(folderOf(each), 'host'), model, nameOf(each)));
    say(`cold with each runtime, ${rounds} rounds`);
    await inTurns(candidates, rounds, async (each, round) => {
      const host = hosts.get(each);
      if (!host) return;
      const asked = await askColdContainer({ dir: folderOf(each), model, host }, round);
      each.replyMs.push(asked.replyMs);
      await sleep(pauseMs);
    });
  } finally {
    for (const host of hosts.values()) await host.stop();
    await model.close();
  }
}

function startHost(homeDir: string, model: ScriptedModel, runtimeName: string) {
  mkdirSync(homeDir, { recursive: true });
  return MeasuredHost.start(homeDir, model.url, runtimeName);
}

/** Each round begins with another candidate. */
async function inTurns(
  candidates: Candidate[],
  rounds: number,
  measure: (each: Candidate, round: number) => Promise<void>,
): Promise<void> {
  for (let round = 1; round <= rounds; round += 1) {
    const first = round % candidates.length;
    for (const each of [...candidates.slice(first), ...candidates.slice(0, first)])
      await measure(each, round);
  }
}
