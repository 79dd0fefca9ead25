import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { startScriptedModel } from '../scripted-model/scripted-model.ts';
import { answerAllNumbers, chance, countAnswers, remains, seed } from '../support/storm.ts';
import { StormHost } from '../support/storm-host.ts';
import { TestTerminal } from '../support/terminal.ts';

const messageCount = 200;
const randomKills = Number(process.env.CRASH_KILLS ?? 40);
const groups = ['main', 'alpha', 'beta'];

/** The steps of a message's path; the host is killed at each. */
const steps = [
  'message-stored',
  'turn-claimed',
  'run-recorded',
  'container-spawned',
  'prompt-handed',
  'effect-committed',
  'effect-unlinked',
  'turn-done',
  'delivery-sent',
  'delivery-recorded',
  'run-ended',
];

test('kills and power cuts, at random instants and at each step, lose and double nothing', async () => {
  const storm = await startStorm();
  const { random, host, terminals, numbersAnswered } = storm;
  let sent = 0;
  const sendSome = (most: number) => {
    for (let left = 1 + random(most); left > 0 && sent < messageCount; left -= 1) {
      const terminal = terminals[sent % groups.length];
      terminal?.tell(`@Andy number ${sent}`, [], `m-${sent}`);
      sent += 1;
    }
  };

  let kills = 0;
  let cuts = 0;
  const cutPower = () => {
    host.cutPower();
    cuts += 1;
  };
  for (const step of steps) {
    for (const cutsPower of [false, true]) {
      await host.start(step);
      sendSome(3);
      kills += await host.diesBySelf();
      if (cutsPower) cutPower();
    }
  }
  expect(kills).toBe(2 * steps.length);
  for (let round = 0; round < randomKills; round += 1) {
    await host.start();
    sendSome(7);
    await delay(random(1600));
    sendSome(3);
    await host.kill();
    kills += 1;
    if (random(2) === 0) cutPower();
  }
  await host.start();
  while (sent < messageCount) sendSome(20);
  await Promise.all(terminals.map((terminal) => everythingAnswered(terminal)));
  await host.stop();

  const counts = numbersAnswered();
  const all = Array.from({ length: messageCount }, (_, number) => number);
  const unanswered = all.filter((number) => !counts.has(number));
  const doubled = all.filter((number) => (counts.get(number) ?? 0) > 1);
  const repeats = terminals.reduce((sum, terminal) => sum + terminal.repeats, 0);
  console.log(
    `crash storm: seed ${seed}, ${kills} kills, ${cuts} of them power cuts, ${messageCount} messages, ${unanswered.length} unanswered, ${doubled.length} answered twice, ${repeats} sent again with the same id`,
  );
  expect({ unanswered, doubled }).toEqual({ unanswered: [], doubled: [] });
  expect(storm.remains()).toEqual([]);
}, 600_000);

async function everythingAnswered(terminal: TestTerminal): Promise<void> {
  await terminal.until(() => terminal.unstored === 0 || undefined, 'all to be stored', 120_000);
  expect(await terminal.settled(240_000)).toBe('settled');
}

async function startStorm() {
  const home = mkdtempSync(join(tmpdir(), 'nanoclaw-storm-'));
  const model = await startScriptedModel();
  onTestFinished(async () => {
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });
  answerAllNumbers(model);
  const environment = {
    NANOCLAW_HOME: home,
    ANTHROPIC_API_KEY: 'the-real-key',
    ANTHROPIC_BASE_URL: model.url,
  };
  const socketPath = join(home, 'data', 'nanoclaw.sock');
  const terminals: TestTerminal[] = groups.map((group) => new TestTerminal(socketPath, group));
  return {
    random: chance(),
    terminals,
    host: new StormHost(environment, terminals),
    /** Maps each number to how many delivered replies answered it. */
    numbersAnswered: () =>
      countAnswers(terminals.flatMap(({ delivered }) => delivered.map(({ text }) => text))),
    remains: () => remains(home),
  };
}
