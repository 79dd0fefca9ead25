import { describe, expect, test } from 'vitest';
import { alice, family, LinkedHost, owner } from '../support/linked-host.ts';

describe('on WhatsApp, a person and their assistant', () => {
  test('are linked by a code and talk in their direct chat', async () => {
    const host = await LinkedHost.start();
    host.model.on('hello').reply('**Hello** to you.');
    await host.server.say(owner.number, 'hello');
    const heard = await host.server.hears(owner.number);
    expect(heard).toMatchObject({ text: '*Hello* to you.', quotedId: null, group: null });
  });

  test('go on after a restart without another link', async () => {
    const host = await LinkedHost.start();
    await host.stop();
    host.model.on('still there').reply('Of course.');
    await host.server.say(owner.number, 'still there?');
    await host.run();
    await host.server.hears(owner.number, { text: 'Of course' });
  });
});

describe('in a group', () => {
  test('the assistant answers who calls it, quotes them and knows what was said before', async () => {
    const host = await LinkedHost.start({ withGroup: true });
    host.model
      .on('who brings')
      .reply((_, call) => (call.lastUserText.includes('I bring salad') ? 'Alice: salad.' : '?'));
    await host.server.sayInGroup(alice.number, family, 'I bring salad');
    const id = await host.server.sayInGroup(owner.number, family, '@Andy who brings what?');
    const heard = await host.server.hears(alice.number, { group: family });
    expect(heard).toMatchObject({ text: 'Alice: salad.', quotedId: id });
  });
});
