/** The policy at the time of each connection, with real name look-ups and servers of the tests. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { Internet, needsInternet } from '../../test/internet/internet.ts';
import { page } from '../../test/internet/pages.ts';
import { openWayOut } from '../../test/support/way-out.ts';
import type { GroupPolicy } from '../features/web/store.ts';
import { localDay } from './ledger.ts';

const listed = (...hosts: string[]): GroupPolicy => ({ mode: 'listed', hosts });
const none: GroupPolicy = { mode: 'none', hosts: [] };

describe('a group with a list', needsInternet, () => {
  /** One server for every name. `reach` resolves to `open` or to the text of the refusal. */
  async function openGroup() {
    const internet = await Internet.start();
    const host = await internet.host('example.org', page('a page'));
    const way = openWayOut(false);
    const connect = (name: string, port = 443) => {
      internet.names.declare(name, host.addresses);
      return way.web.connect(way.caller, { host: name, port });
    };
    const reach = (name: string, port?: number) =>
      connect(name, port).then(
        (socket) => {
          socket.destroy();
          return 'open';
        },
        ({ message }: Error) => message,
      );
    return { ...way, internet, host, connect, reach };
  }

  test('reaches its hosts, and below a `*.` only what is below', async () => {
    const { group, reach, policies } = await openGroup();
    policies.set(group, listed('example.org', '*.example.net'));
    expect(await reach('example.org')).toBe('open');
    expect(await reach('a.example.net')).toBe('open');
    expect(await reach('b.a.example.net')).toBe('open');
    for (const other of [
      'a.example.org',
      'example.net',
      'badexample.net',
      'example.net.evil.example',
      'example.org.evil.example',
      'evil-example.org',
    ])
      expect(await reach(other)).toMatch(/is not among the hosts that this group may reach/);
  });

  test('is refused in words that tell the remedy', async () => {
    const { group, reach, policies } = await openGroup();
    expect(await reach('shop.example')).toBe(
      'shop.example is not among the hosts that this group may reach. The owner can allow it in the main chat: /allow shop.example family',
    );
    policies.set(group, none);
    expect(await reach('pypi.org')).toBe(
      'This group has no access to the web. The owner can give it in the main chat: /web family listed',
    );
  });

  test('asks for no name that is not on it', async () => {
    const { internet, reach, group, policies } = await openGroup();
    await reach('a-secret.shop.example');
    await reach('shop.example', 22);
    policies.set(group, none);
    await reach('pypi.org');
    expect(internet.names.queries).toEqual([]);
  });

  test('loses what is open when it may not be any more', async () => {
    const { connect, group, policies } = await openGroup();
    policies.set(group, listed('example.org', 'example.net'));
    const [kept, lost] = await Promise.all([connect('example.org'), connect('example.net')]);
    const closed = once(lost, 'close');
    policies.set(group, listed('example.org'));
    await closed;
    expect(kept.destroyed).toBe(false);
    policies.set(group, none);
    expect(kept.destroyed).toBe(true);
  });

  test('does not get what is forbidden while its name is looked up', async () => {
    const { reach, group, host, policies } = await openGroup();
    policies.set(group, listed('example.org'));
    const answer = reach('example.org');
    policies.set(group, none);
    expect(await answer).toMatch(/no access to the web/);
    expect(host.traffic.connections).toBe(0);
  });

  test('lets its policy know of each host that it objected to, and of nothing else', async () => {
    const { reach, refused } = await openGroup();
    await reach('1.example');
    await reach('shop.example', 22);
    await reach('1.example');
    expect(refused).toEqual(['1.example', '1.example']);
  });

  test('reaches no more than a thousand hosts in a turn', async () => {
    const { web, group, caller, reach, internet, entries, policies } = await openGroup();
    policies.set(group, { mode: 'open', hosts: [] });
    const unknown = Array.from({ length: 1000 }, (_, index) => `${index}.example`);
    for (const host of unknown)
      await expect(web.connect(caller, { host, port: 443 })).rejects.toThrow('was not found');
    expect(await reach('one-more.example')).toBe(
      'This turn has reached for too many different hosts.',
    );
    expect(internet.names.queries).not.toContain('A one-more.example');
    expect(await reach('0.example')).toBe('open');
    const lines = entries(localDay(Date.now()));
    expect(lines).toHaveLength(1001);
    expect(lines.find(({ allowed }) => !allowed)).toMatchObject({
      host: '(further hosts)',
      requests: 1,
    });
  });

  test('has sixty-four connections at once, with those that are being made', async () => {
    const { web, group, caller, internet, policies } = await openGroup();
    policies.set(group, { mode: 'open', hosts: [] });
    internet.names.declare('slow.example', 'silence');
    const target = { host: 'slow.example', port: 443 };
    const all = Array.from({ length: 65 }, () => web.connect(caller, target));
    await expect(all.at(-1)).rejects.toThrow('too many connections at once');
    await Promise.allSettled(all);
    await expect(web.connect(caller, target)).rejects.toThrow('give no answer');
  });
});
