/** Reports each way to carry data out, whether open or not. */
import { afterAll, expect, test } from 'vitest';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page } from '../internet/pages.ts';
import { App } from '../support/app.ts';
import { runs } from '../support/browsing.ts';
import { commandFor, judge, sentenceFor, type Verdict } from './check.ts';
import { exfiltrationChecks } from './exfiltration.ts';
import { appendVerdicts } from './report.ts';
import { World } from './world.ts';

const verdicts: Verdict[] = [];

test.each(exfiltrationChecks.map((check) => [check.says, check] as const))(
  'an agent cannot %s, or it is said that it can',
  needsInternet,
  async (_, check) => {
    const world = await World.create();
    const internet = await Internet.start();
    const listed = await internet.host('listed.example', page('a page'));
    const app = await App.start();
    const owner = await app.attach();
    (await app.attach('mallory')).leave();
    for (const host of ['listed.example', '*.wild.example']) {
      await owner.say(`/allow ${host} mallory`);
      expect(await owner.nextText()).toContain(host);
    }
    const printed = await runs(app, commandFor(check, {}), 'mallory');
    const outside = { internet, listed, app };
    const word = check.reached(outside) ? 'OPEN it reached somebody\n' : '';
    await world.remove();
    const verdict = judge(check, word + printed, [], world);
    verdicts.push(verdict);
    expect(verdict.evidence.finished, printed).toBe(true);
    // A way that is documented as open must be open.
    expect(verdict.isHeld, printed).toBe(sentenceFor(check) === undefined);
  },
);

afterAll(() => appendVerdicts(verdicts));
