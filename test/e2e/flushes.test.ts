import { join } from 'node:path';
import { expect, test } from 'vitest';
import { alice, family, LinkedHost, owner } from '../support/linked-host.ts';
import { countFlushes } from '../support/power-cut.ts';

const messages = 5;
const perMessageMax = 6;

// Counts the commits that SQLite flushes in both stores. The benchmark counts the system calls.
test('a message to a warm agent costs at most six flushes, also in a group', async () => {
  const host = await LinkedHost.prepare();
  host.followFlushes = true;
  await host.linkByCode();
  host.prepareGroup('family', `whatsapp:${family}`);
  const asked = /number (\d)/;
  host.model.on(asked).reply((_, { said }) => `Answer ${asked.exec(said)?.[1]}`);
  await host.run();
  const flushes = () =>
    ['nanoclaw.db', 'whatsapp.db']
      .map((name) => countFlushes(join(host.home, 'store', name)))
      .reduce((sum, count) => sum + count, 0);

  const costOf = async (ask: (text: string) => Promise<unknown>) => {
    for (let number = 0; number < 2; number += 1) await ask(`number ${number}`);
    const before = flushes();
    for (let number = 2; number < 2 + messages; number += 1) await ask(`number ${number}`);
    return (flushes() - before) / messages;
  };
  const direct = await costOf(async (text) => {
    await host.server.say(owner.number, text);
    await host.server.hears(owner.number, { text: text.replace('number', 'Answer') });
  });
  const inGroup = await costOf(async (text) => {
    await host.server.sayInGroup(alice.number, family, text);
    const answer = text.replace('number', 'Answer');
    await host.server.hears(alice.number, { text: answer, group: family });
  });
  console.log(`flushes of a warm message: ${direct}, in a group ${inGroup}`);
  expect(direct).toBeLessThanOrEqual(perMessageMax);
  expect(inGroup).toBeLessThanOrEqual(perMessageMax);
});
