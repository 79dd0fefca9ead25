import { expect, test } from 'vitest';
import { App } from '../support/app.ts';

test('an agent that sends too many requests to the host is ended, and answers the next message', async () => {
  const app = await App.start({ limits: { requestsPerRunMax: 10 } });
  const flood = app.model.on('flood');
  for (let count = 0; count < 12; count += 1) flood.callTool('mcp__nanoclaw__list_groups', {});
  flood.thenReply('never');
  app.model.on('next').reply('fine now');
  const person = await app.attach();
  await person.say('flood');
  expect(await person.nextText()).toBe(
    'I stopped: I asked my host for more than 10 things. Ask me to go on if I should.',
  );
  expect(await person.settled()).toBe('settled');
  expect(app.rows('SELECT reason FROM runs WHERE ended_at IS NOT NULL')).toEqual([
    { reason: 'too-many-requests' },
  ]);
  // The turn is not repeated.
  expect(app.rows('SELECT state, attempt FROM turns')).toEqual([{ state: 'failed', attempt: 1 }]);
  await person.say('next');
  expect(await person.nextText()).toBe('fine now');
});
