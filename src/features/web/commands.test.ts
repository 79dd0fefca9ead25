/** The owner's words about the web, as `createCommands` hands them on. */

import { pino } from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/store.ts';
import { openWayOut } from '../../../test/support/way-out.ts';
import { systemClock } from '../../clock.ts';
import { createCommands } from '../../commands.ts';
import { loadConfig } from '../../config.ts';
import { saveGroup } from '../../db/groups.ts';
import { localDay } from '../../egress/ledger.ts';
import { addToLedger, type Traffic } from '../../egress/store.ts';
import { settle } from '../../outcome.ts';
import type { Group } from '../../types.ts';
import { allowCommand, denyCommand, egressCommand, webCommand } from './commands.ts';

let way: ReturnType<typeof openWayOut>;
let family: Group;

beforeEach(() => {
  way = openWayOut();
  const changes = { folder: 'family', chatId: 'terminal:family', name: 'Family', isMain: false };
  family = saveGroup(way.store, { ...way.group, ...changes });
});

/** The answer in the main chat, or in another group's; undefined when it goes to the assistant. */
function says(text: string, { group = way.group }: { group?: Group } = {}) {
  const config = loadConfig({}, temporaryFolder());
  const { policies } = way;
  const host = { ...way, clock: systemClock };
  const find = createCommands({ config, log: pino({ level: 'silent' }) }, [
    egressCommand(host),
    webCommand(host, policies),
    allowCommand(host, policies),
    denyCommand(host, policies),
  ]);
  const carryOut = find({ chatId: 'terminal:main', text, isOwner: true });
  return carryOut && settle(way.store, () => carryOut(group)).text;
}

const policy = () => way.policies.of(family);

describe('/web', () => {
  test('tells what each group may reach', () => {
    expect(says('/web')).toMatch(/^main: open\nfamily: listed, \*\.wikipedia\.org .*pypi\.org/);
    expect(says('/web family')).toMatch(/^family: listed, /);
  });

  test('changes it, and keeps the list meanwhile', () => {
    says('/allow www.example.org family');
    expect(says('/web family none')).toBe('From now on family: none');
    expect(policy().mode).toBe('none');
    expect(says('/web family open')).toBe('From now on family: open');
    expect(policy().mode).toBe('open');
    expect(says('/web family listed')).toMatch(/^From now on family: listed, .*www\.example\.org/);
  });

  test('tells what is wrong', () => {
    expect(says('/web nobody')).toBe('There is no group nobody. There are: main, family.');
    expect(says('/web family closed')).toBe('closed is none of open, listed, none.');
    expect(says('/web none')).toBe('There is no group none. There are: main, family.');
    expect(policy().mode).toBe('listed');
  });
});

describe('/allow', () => {
  test('adds a host, once, as the proxy will read it', () => {
    expect(says('/allow WWW.Example.Org. family')).toBe(
      'family may reach www.example.org from now on.',
    );
    says('/allow www.example.org family');
    expect(policy().hosts.filter((host) => host === 'www.example.org')).toHaveLength(1);
    expect(policy().mode).toBe('listed');
    expect(says('/allow *.example.com family')).toBe('family may reach *.example.com from now on.');
    expect(policy().hosts.at(-1)).toBe('*.example.com');
  });

  test('needs a host, and names no more than one', () => {
    const help = 'Write a host like www.example.org, without https:// and without a path.';
    for (const words of [
      '',
      ' localhost',
      ' *',
      ' *. family',
      ' *.org family',
      ' a.*.org family',
      ' https://www.example.org/ family',
      ' www.example.org:8080 family',
      ' [2600::1] family',
      ' user@example.org family',
    ])
      expect([words, says(`/allow${words}`)]).toEqual([words, expect.stringContaining(help)]);
    for (const address of ['10.0.0.1', '127.0.0.1', '2130706433'])
      expect(says(`/allow ${address} family`)).toMatch(/is not on the public web|Write a host/);
    expect(says('/allow www.example.org nobody')).toBe(
      'There is no group nobody. There are: main, family.',
    );
    expect(says('/allow www.example.org')).toBe('main may reach every host already.');
  });

  test('opens nothing else to a group without the web', () => {
    says('/web family none');
    expect(says('/allow www.example.org family')).toBe(
      'www.example.org is on the list, but family has no access to the web. To change that: /web family listed',
    );
    expect(policy().mode).toBe('none');
    expect(policy().hosts).toContain('www.example.org');
  });
});

describe('/deny', () => {
  test('takes a host off the list', () => {
    expect(says('/deny pypi.org family')).toBe('family may not reach pypi.org any more.');
    expect(says('/deny *.wikipedia.org family')).toMatch(/may not reach \*\.wikipedia\.org/);
    expect(policy().hosts).not.toContain('pypi.org');
    expect(policy().hosts).not.toContain('*.wikipedia.org');
  });

  test('tells which entry still covers a host', () => {
    expect(says('/deny de.wikipedia.org family')).toBe(
      'family may still reach de.wikipedia.org, because *.wikipedia.org covers it. To take all of that away: /deny *.wikipedia.org family',
    );
    says('/allow de.wikipedia.org family');
    expect(says('/deny de.wikipedia.org family')).toMatch(/may still reach de\.wikipedia\.org/);
    expect(policy().hosts).not.toContain('de.wikipedia.org');
    expect(says('/deny *.de.wikipedia.org family')).toMatch(/because \*\.wikipedia\.org covers/);
    says('/deny *.wikipedia.org family');
    expect(says('/deny de.wikipedia.org family')).toMatch(/is not on the list/);
  });

  test('tells when that changes nothing', () => {
    expect(says('/deny shop.example family')).toMatch(
      /^shop\.example is not on the list\. family: listed, /,
    );
    expect(says('/deny shop.example')).toBe(
      'main may reach every host. To change that: /web main listed',
    );
    expect(says('/deny')).toContain('Write a host like');
  });
});

describe('/egress', () => {
  const today = localDay(Date.now());
  const note = (folder: string, host: string, traffic: Traffic, allowed = true) =>
    addToLedger(way.store, { day: today, folder, turnId: 1, host, allowed }, traffic, Date.now());

  test('tells totals first, then each host, what was sent first', () => {
    expect(says('/egress')).toBe(
      'Today: 0 hosts, 0 requests, 0 B sent, 0 B received; 0 hosts refused.',
    );
    note('main', 'small.example', { requests: 1, bytesUp: 1, bytesDown: 999 });
    note('family', 'big.example', { requests: 2, bytesUp: 1000, bytesDown: 2_500_000_000 });
    note('family', 'small.example', { requests: 3, bytesUp: 0, bytesDown: 12_345 });
    note('family', 'never.example', { requests: 7, bytesUp: 0, bytesDown: 0 }, false);
    expect(says('/egress')?.split('\n')).toEqual([
      'Today: 2 hosts, 6 requests, 1.0 kB sent, 2.5 GB received; 1 host refused.',
      '- family: big.example, 2 requests, 1.0 kB sent, 2.5 GB received',
      '- main: small.example, 1 request, 1 B sent, 999 B received',
      '- family: small.example, 3 requests, 0 B sent, 12.3 kB received',
      '- family: never.example refused, 7 times',
    ]);
    expect(says('/egress', { group: family })).not.toContain('- main');
  });

  test('shows a small upload before large downloads', () => {
    note('main', 'downloads.example', { requests: 9, bytesUp: 10, bytesDown: 9_000_000_000 });
    note('main', 'upload.example', { requests: 1, bytesUp: 90_000, bytesDown: 0 });
    expect(says('/egress')?.split('\n')[1]).toMatch(/^- main: upload\.example, .* 90\.0 kB sent/);
  });

  test('takes a day and a page', () => {
    const day = '2026-02-28';
    const traffic = { requests: 1, bytesUp: 1, bytesDown: 1 };
    for (let number = 0; number < 130; number += 1) {
      const key = { day, folder: 'main', turnId: 1, host: `${number}.example`, allowed: true };
      addToLedger(way.store, key, { ...traffic, bytesUp: number }, 0);
    }
    const [head, first, ...more] = says(`/egress ${day}`)?.split('\n') ?? [];
    expect(head).toMatch(/^2026-02-28: 130 hosts/);
    expect(first).toMatch(/129\.example/);
    expect(more.at(-1)).toBe('and 70 more: /egress 2026-02-28 2');
    const third = says(`/egress 3 ${day}`)?.split('\n') ?? [];
    expect(third).toHaveLength(11);
    expect(third.at(-1)).toMatch(/- main: 0\.example/);
    expect(says('/egress yesterday')).toBe(
      'yesterday is neither a day, such as 2026-03-01, nor a page.',
    );
  });

  test('leaves out what is of another day, and what is too long to read', () => {
    const other = { day: '2020-01-01', folder: 'main', turnId: 1, host: 'old', allowed: true };
    addToLedger(way.store, other, { requests: 1, bytesUp: 1, bytesDown: 1 }, 0);
    for (let number = 0; number < 70; number += 1)
      note('main', `${number}.example`, { requests: 1, bytesUp: number, bytesDown: 0 });
    const lines = says('/egress')?.split('\n') ?? [];
    expect(lines[0]).toMatch(/^Today: 70 hosts, 70 requests, 2\.4 kB sent/);
    expect(lines[1]).toMatch(/^- main: 69\.example/);
    expect(lines).toHaveLength(62);
    expect(lines.at(-1)).toBe('and 10 more: /egress 2');
  });
});

describe('outside of the main chat', () => {
  test('these commands are refused, also to the assistant by name', () => {
    for (const text of ['/web', '/web family open', '/allow a.example', '@Andy /deny pypi.org'])
      expect(says(text, { group: family })).toMatch(/^\/\w+ works in the main chat only\.$/);
    expect(policy().mode).toBe('listed');
    expect(policy().hosts).toContain('pypi.org');
  });

  test('only what may be said there is in the help', () => {
    expect(says('/help', { group: family })).not.toContain('/allow');
    expect(says('/help')).toContain('/allow HOST [GROUP]: ');
  });
});
