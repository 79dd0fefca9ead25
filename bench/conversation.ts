/**
 * The time from a message to the first request at the model and to the reply, compared with the
 * bare SDK. Both are asked in alternation, so that they see the same load. Ours starts when the
 * terminal sends, which is slightly before the message is committed, and so stricter.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ScriptedModel, startScriptedModel } from '../test/scripted-model/scripted-model.ts';
import { TestTerminal } from '../test/support/terminal.ts';
import { BareSdk } from './bare.ts';
import { MeasuredHost } from './host-process.ts';
import { median, nowMs, rounded, say } from './measure.ts';

export const answer = 'The answer.';
/**
 * The pause between messages keeps what `claude` does after an answer out of the next measurement.
 */
export const pauseMs = 300;
const idleMs = 20_000;
const containerEndPollMs = 20;

interface Latency {
  requestMs: number;
  replyMs: number;
}

interface Surroundings {
  /** Holds the host's state in `host`. */
  dir: string;
  model: ScriptedModel;
  host: MeasuredHost;
}

/** `dir` is a new folder for the state of both sides. */
export async function measureConversation(
  dir: string,
  runtimeName: string,
  rounds: { cold: number; warm: number },
) {
  const model = await startScriptedModel();
  model.otherwise(answer);
  const homeDir = join(dir, 'host');
  mkdirSync(homeDir);
  const host = await MeasuredHost.start(homeDir, model.url, runtimeName);
  try {
    await sleep(1000);
    const rssMb = rounded(host.rssMb(), 1);
    const cold = await measureCold({ dir, model, host }, rounds.cold);
    const { warm, idleCpuPercent } = await measureWarm({ dir, model, host }, rounds.warm);
    const rssAfterMb = rounded(host.rssMb(), 1);
    return { cold, warm, host: { rssMb, rssAfterMb, idleCpuPercent } };
  } finally {
    await host.stop();
    await model.close();
  }
}

/**
 * Each round has a new group, so that container, session and home are new, with nothing else
 * running.
 */
async function measureCold(surroundings: Surroundings, rounds: number) {
  const ours: Latency[] = [];
  const bare: Latency[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    say(`cold ${round} of ${rounds}`);
    const sides = [
      async () => ours.push(await askColdContainer(surroundings, round)),
      async () => bare.push(await askColdBare(surroundings, round)),
    ];
    for (const side of round % 2 ? sides : sides.toReversed()) {
      await side();
      await sleep(pauseMs);
    }
  }
  return compared(ours, bare);
}

/** Needs a model that answers `answer`. */
export async function askColdContainer({ dir, model, host }: Surroundings, round: number) {
  const group = `cold-${round}`;
  const terminal = await TestTerminal.attach(host.socketPath, group);
  const latency = await askOurs(terminal, model, `ours cold ${round}.`);
  terminal.tell('/new');
  await terminal.next();
  terminal.leave();
  const agentDir = join(dir, 'host/data/agents', group);
  const isRunning = () => readdirSync(agentDir).some((name) => name.startsWith('run-'));
  while (existsSync(agentDir) && isRunning()) await sleep(containerEndPollMs);
  return latency;
}

async function askColdBare({ dir, model }: Surroundings, round: number): Promise<Latency> {
  const spawnedAtMs = nowMs();
  const bare = new BareSdk(dir, model.url);
  const latency = await askBare(bare, model, `bare cold ${round}.`, spawnedAtMs);
  await bare.close();
  return latency;
}

/** Each side has one open session. The first message opens it and is not measured. */
async function measureWarm({ dir, model, host }: Surroundings, rounds: number) {
  const ours: Latency[] = [];
  const bare: Latency[] = [];
  const terminal = await TestTerminal.attach(host.socketPath, 'warm');
  const bareSdk = new BareSdk(dir, model.url);
  say(`warm, ${rounds} rounds`);
  for (let round = 0; round <= rounds; round += 1) {
    const sides = [
      async () => ours.push(await askOurs(terminal, model, `ours warm ${round}.`)),
      async () => bare.push(await askBare(bareSdk, model, `bare warm ${round}.`)),
    ];
    for (const side of round % 2 ? sides : sides.toReversed()) {
      await side();
      await sleep(pauseMs);
    }
  }
  await bareSdk.close();
  say(`idle for ${idleMs / 1000} s`);
  const idleCpuPercent = rounded(await host.idleCpuPercent(idleMs));
  terminal.leave();
  return { warm: compared(ours.slice(1), bare.slice(1)), idleCpuPercent };
}

async function askOurs(
  terminal: TestTerminal,
  model: ScriptedModel,
  text: string,
): Promise<Latency> {
  const startMs = nowMs();
  terminal.tell(`@Andy ${text}`);
  const delivery = terminal.nextText().then((reply) => ({ reply, atMs: nowMs() }));
  const [{ reply, atMs }, call] = await Promise.all([delivery, model.call(text)]);
  if (reply !== answer) throw new Error(`instead of the answer came: ${reply}`);
  return { requestMs: call.receivedAtMs - startMs, replyMs: atMs - startMs };
}

async function askBare(bare: BareSdk, model: ScriptedModel, text: string, startMs?: number) {
  const [reply, call] = await Promise.all([bare.ask(text), model.call(text)]);
  if (reply.result !== answer) throw new Error(`instead of the answer came: ${reply.result}`);
  const fromMs = startMs ?? reply.handedAtMs;
  return { requestMs: call.receivedAtMs - fromMs, replyMs: reply.repliedAtMs - fromMs };
}

function compared(ours: Latency[], bare: Latency[]) {
  const of = (latencies: Latency[], key: keyof Latency) =>
    median(latencies.map((latency) => latency[key]));
  return {
    rounds: ours.length,
    ratio: rounded(of(ours, 'requestMs') / of(bare, 'requestMs')),
    replyRatio: rounded(of(ours, 'replyMs') / of(bare, 'replyMs')),
    oursMs: rounded(of(ours, 'requestMs'), 1),
    bareMs: rounded(of(bare, 'requestMs'), 1),
    oursReplyMs: rounded(of(ours, 'replyMs'), 1),
    bareReplyMs: rounded(of(bare, 'replyMs'), 1),
  };
}
