import { existsSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { App } from '../support/app.ts';

const mebibyte = 1024 ** 2;

test('an agent that fills its folder is ended, others go on, and it can clean up', async () => {
  const limits = { folderBytesMax: 64 * mebibyte, folderCheckMs: 100 };
  const app = await App.start({ limits });
  app.model
    .on('fill')
    .callTool('Bash', {
      command:
        'i=0; while [ $i -lt 4000 ]; do i=$((i+1)); head -c 1000000 /dev/zero > fill-$i; done',
    })
    .thenReply('all written');
  app.model
    .on('wait')
    .callTool('Bash', { command: 'until [ -e go ]; do sleep 0.1; done; echo went on' })
    .thenReply((result) => result);
  app.model
    .on('delete')
    .callTool('Bash', { command: 'rm fill-*; ls | wc -l' })
    .thenReply((result) => `left: ${result}`);
  const person = await app.attach();
  const others = await app.attach('family');
  await others.say('@Andy wait');
  await app.model.call('wait');

  await person.say('fill');
  expect(await person.nextText()).toBe(
    'I stopped: my files take more than 0.0625 GiB. Ask me to delete what is not needed.',
  );
  expect(await person.settled()).toBe('settled');
  expect(existsSync(app.inGroup('main', 'fill-4000'))).toBe(false);
  expect(app.rows('SELECT reason FROM runs WHERE ended_at IS NOT NULL')).toEqual([
    { reason: 'folder-full' },
  ]);
  // The turn is not repeated.
  expect(app.rows("SELECT state, attempt, reason FROM turns WHERE agent_id = 'main'")).toEqual([
    { state: 'failed', attempt: 1, reason: 'folder-full' },
  ]);

  await person.say('delete');
  expect(await person.nextText()).toMatch(/^left: /);
  expect(existsSync(app.inGroup('main', 'fill-1'))).toBe(false);
  writeFileSync(app.inGroup('family', 'go'), '');
  expect(await others.nextText()).toBe('went on');
});
