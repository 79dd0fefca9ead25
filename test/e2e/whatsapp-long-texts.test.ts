/** Long and hostile texts of agents on WhatsApp: how they arrive, and that they hold up nobody. */
import { describe, expect, test } from 'vitest';
import { toolUse } from '../../src/cli/demo/messages-server.ts';
import { alice, family, LinkedHost, owner } from '../support/linked-host.ts';

describe('a long answer', () => {
  test('keeps code as code in each of its messages', async () => {
    const host = await LinkedHost.start();
    const code = Array.from({ length: 200 }, (_, index) => `  if (a[${index}]) return **b**;`);
    host.model.on('code').reply(`Here:\n\n\`\`\`js\n${code.join('\n')}\n\`\`\`\n\n**Done.**`);
    await host.server.say(owner.number, 'code');
    const first = await host.server.hears(owner.number, { text: '^Here:' });
    const second = await host.server.hears(owner.number, { text: 'Done' });
    expect(first.text).toMatch(/^Here:\n\n```[^`]+```$/);
    expect(second.text).toMatch(/^```[^`]+```\n\n\*Done\.\*$/);
    const shown = [first, second].map(({ text }) => text.split('```')[1]);
    expect(shown.join('\n')).toBe(code.join('\n'));
  });

  test('that would be many messages comes as its beginning and a file with all of it', async () => {
    const host = await LinkedHost.start();
    const text = `**First**\n\n${'a line of words\n'.repeat(2000)}The end.`;
    host.model.on('all of it').reply(text);
    await host.server.say(owner.number, 'all of it');
    await host.server.hears(owner.number, { text: '^\\*First\\*\n\na line' });
    const { file } = await host.server.hears(owner.number, { kind: 'document' });
    expect(Buffer.from(file?.base64 ?? '', 'base64').toString()).toBe(text);
  });
});

test('hostile texts of a group are formatted once, even over a death of the host, and main is answered meanwhile', async () => {
  const host = await LinkedHost.start({ withGroup: true });
  const hostile = [`${'>'.repeat(1000)}${'=\n'.repeat(1500)}`, '- a\n'.repeat(40_000)];
  const texts = Array.from(
    { length: 12 },
    (_, index) => `${index + 1}. **b**\n${hostile[index % 2]}`,
  );
  const blocks = texts.map((text) => toolUse('mcp__nanoclaw__send_message', { text }));
  host.model
    .on('flood')
    .answer(() => blocks)
    .reply('That was all.');
  await host.server.sayInGroup(alice.number, family, '@Andy flood');
  await host.model.call(({ toolResults }) => toolResults.length === texts.length);
  await host.server.hears(alice.number, { group: family, text: '^1\\. ' });
  await host.server.say(owner.number, '/status');
  await host.server.hears(owner.number, { text: '^Here:' });
  const unsent = "SELECT id FROM outbox WHERE state = 'pending' AND lane = 'agent'";
  expect(host.rows(unsent).length).toBeGreaterThan(0);
  const pieces = 'SELECT outbox_id, id, text FROM pieces ORDER BY rowid';
  await host.stop('SIGKILL');
  const before = host.rows(pieces);
  await host.run();
  await host.server.hears(alice.number, { group: family, text: '^4\\. ' });
  expect(host.rows(pieces).slice(0, before.length)).toEqual(before);
}, 120_000);
