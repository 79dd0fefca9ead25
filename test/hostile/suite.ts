/**
 * Runs checks: the scripted model has the real agent of a real host run each program in its
 * container, in one turn per group. Each check is one test and one row of the report.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toolUse } from '../../src/cli/demo/messages-server.ts';
import { App, type AppOptions } from '../support/app.ts';
import {
  type Check,
  commandFor,
  type Evidence,
  judge,
  sentenceFor,
  type Verdict,
} from './check.ts';
import { appendVerdicts } from './report.ts';
import { World } from './world.ts';

const suiteTimeoutMs = 300_000;

interface SuiteOptions extends AppOptions {
  /** Runs before the checks. */
  prepare?: (app: App, world: World) => Promise<void>;
}

/** Runs all checks in one host, then makes a test of each, named by its sentence. */
export function hostileSuite(title: string, checks: Check[], options: SuiteOptions = {}): void {
  describe(title, () => {
    const found = new Map<string, Verdict>();

    beforeAll(async () => {
      const world = await World.create();
      const cleanups = [() => world.remove()];
      try {
        const app = await App.start({ ...options, atEnd: (clean) => cleanups.push(clean) });
        await world.plantIn(app);
        await options.prepare?.(app, world);
        const parties = {
          mallory: checks.filter(({ inMain }) => !inMain),
          main: checks.filter(({ inMain }) => inMain),
        };
        const verdicts: Verdict[] = [];
        for (const [group, theirs] of Object.entries(parties))
          verdicts.push(...(await attack(app, world, group, theirs)));
        for (const verdict of verdicts) found.set(verdict.check.id, verdict);
      } finally {
        for (const clean of cleanups.toReversed()) await clean();
      }
    }, suiteTimeoutMs);

    test.each(checks.map((check) => [check.says, check] as const))(
      'an agent cannot %s',
      (_, check) => {
        const verdict = found.get(check.id);
        if (!verdict) throw new Error('it was not run');
        const { evidence, isHeld } = verdict;
        if (!evidence.finished)
          expect.fail(`It did not end by itself.\n${describeEvidence(evidence)}`);
        const isExcused = sentenceFor(check) !== undefined && evidence.breaches.length === 0;
        if (!isHeld && !isExcused) expect.fail(describeEvidence(evidence));
      },
    );

    afterAll(() => appendVerdicts([...found.values()]));
  });
}

function describeEvidence({ output, breaches }: Evidence): string {
  return [...breaches.map((breach) => `the host saw: ${breach}`), output].join('\n');
}

/** Has one group's agent run the programs one after the other in one turn. */
async function attack(app: App, world: World, group: string, checks: Check[]): Promise<Verdict[]> {
  if (checks.length === 0) return [];
  const verdicts: Verdict[] = [];
  const signal = `attack from ${group}`;
  const script = app.model.on(signal);
  for (const [index, check] of [...checks, undefined].entries())
    script.answer(async ({ toolResults }) => {
      const before = checks[index - 1];
      if (before) verdicts.push(judge(before, toolResults.at(-1) ?? '', await world.take(), world));
      if (!check) return 'that was all';
      const command = commandFor(check, world.facts);
      return [toolUse('Bash', { command })];
    });
  const person = await app.attach(group, 'Mallory');
  await person.say(`@Andy ${signal}`);
  // Main also receives notices about other groups' refusals.
  const isOver = () => person.delivered.find(({ text }) => text === 'that was all');
  await person.until(isOver, 'the last program', suiteTimeoutMs);
  person.leave();
  return verdicts;
}
