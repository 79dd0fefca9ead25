/** `/unregister` while the group's agent is at work: its run ends, and its chat and files are free. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { App } from '../support/app.ts';

test('a group at work ends at once, leaves its files, and can begin afresh', async () => {
  const app = await App.start();
  const person = await app.attach('family', 'Maria');
  app.model.on('write').callTool('Bash', { command: 'echo ours > notes.md' }).thenReply('Written.');
  await person.say('@Andy write it down');
  expect(await person.nextText()).toBe('Written.');
  app.model.on('work on').callTool('Bash', { command: 'touch begun; sleep 600' });
  await person.say('@Andy work on');
  await app.model.call('work on');
  const me = await app.attach();
  await me.say('/unregister family');
  expect(await me.nextText()).toBe('family is unregistered. Its files stay in groups/family.');
  await expect.poll(() => app.rows('SELECT id FROM runs WHERE ended_at IS NULL')).toEqual([]);
  expect(app.rows(`SELECT * FROM turns WHERE state IN ('queued', 'running')`)).toEqual([]);
  expect(app.rows('SELECT folder FROM groups')).toEqual([{ folder: 'main' }]);
  expect(existsSync(app.inGroup('family', 'notes.md'))).toBe(true);

  // A host that starts now finds nothing to take up.
  await app.stop();
  await app.start();
  await me.connect();
  await me.say('/register terminal:family family always');
  expect(await me.nextText()).toBe('Registered: "family" answers everybody (called or not).');
  app.model
    .on('do you know me')
    .reply((_, { body }) =>
      JSON.stringify(body.messages).includes('write it down') ? 'I do.' : 'We never met.',
    );
  const again = await app.attach('family', 'Maria');
  await again.say('do you know me?');
  expect(await again.nextText()).toBe('We never met.');
  await me.say('/unregister family erase');
  expect(await me.nextText()).toBe('family is unregistered and its files are erased.');
  expect(existsSync(app.inGroup('family'))).toBe(false);
  expect(existsSync(join(app.config.dataDir, 'agents', 'family'))).toBe(false);
});
