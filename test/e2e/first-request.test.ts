/**
 * The whole first request that the model receives, kept as reviewed files. To renew them after a
 * change that is meant: `npm test -- test/e2e/first-request.test.ts -u`, then read the difference.
 */
import { expect, test } from 'vitest';
import type { ScriptedCall } from '../scripted-model/scripted-model.ts';
import { App } from '../support/app.ts';

/** UTF-8 bytes of main's first request; it had 36,400 with the preset of Claude Code. */
const requestBytesMax = 28_000;

type Body = ScriptedCall['body'];

async function firstRequest(app: App, folder?: string): Promise<Body> {
  const words = `@Andy hello from ${folder ?? 'main'}`;
  const person = await app.attach(folder, folder && 'Maria');
  await person.say(words);
  await person.next();
  await person.settled();
  return (await app.model.call(words)).body;
}

/** Pretty-printed, texts by line, without what differs by run, day and machine. */
function readable(body: Body): string {
  const text = JSON.stringify(
    body,
    (_key, value) => (typeof value === 'string' && /\n/.test(value) ? value.split('\n') : value),
    2,
  )
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/[0-9a-f]{64}/g, '<device>')
    .replace(/(id=\\"<uuid>\\".* time=\\")[^"]+(?=\\")/g, '$1<time>')
    .replace(/(Today's date is )[\d-]+/, '$1<date>')
    .replace(/(OS Version: Linux )[^"]+/, '$1<version>');
  return `${text}\n`;
}

test('the first request holds what was reviewed, in main and in another group', async () => {
  const app = await App.start();
  const main = await firstRequest(app);
  await expect(readable(main)).toMatchFileSnapshot('first-request/main.json');
  expect(Buffer.byteLength(JSON.stringify(main))).toBeLessThanOrEqual(requestBytesMax);
  const family = await firstRequest(app, 'family');
  await expect(readable(family)).toMatchFileSnapshot('first-request/family.json');
});

test('agents with the same tools share every byte of tools and system prompt', async () => {
  const app = await App.start();
  const [family, work] = [await firstRequest(app, 'family'), await firstRequest(app, 'work')];
  expect(work.tools).toBeDefined();
  expect(JSON.stringify(work.tools)).toBe(JSON.stringify(family.tools));
  expect(JSON.stringify(work.system)).toBe(JSON.stringify(family.system));
  expect(JSON.stringify(work.messages)).not.toBe(JSON.stringify(family.messages));
});
