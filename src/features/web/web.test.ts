/** A host that was refused to a group becomes a request to the owner. */
import { describe, expect, test } from 'vitest';
import { openFeatureHost } from '../../../test/support/feature-host.ts';
import { listApprovals } from '../../db/approvals.ts';
import { findGroup, saveGroup } from '../../db/groups.ts';
import { listPending, wordsOf } from '../../db/outbox.ts';
import { mainGroup } from '../../groups.ts';
import { web } from './web.ts';

function openWeb() {
  const { host, store, clock, commands } = openFeatureHost();
  const parts = web.create(host);
  commands.push(...(parts.commands ?? []));
  saveGroup(store, mainGroup);
  const changes = { folder: 'family', chatId: 'terminal:family', name: 'Fam', isMain: false };
  const family = saveGroup(store, { ...mainGroup, ...changes });
  const told = () => {
    clock.advance(3000);
    return listPending(store, mainGroup.chatId, 500).map(wordsOf);
  };
  const answer = (id: number, isYes: boolean) =>
    store.transaction(() => host.approvals.answer(id, isYes));
  const refused = (name: string) => parts.webPolicy?.refused(family, name);
  const objection = (name: string) => parts.webPolicy?.objection(family, name);
  return { store, clock, family, told, answer, refused, objection, commands };
}

describe('a refused host', () => {
  test('is asked for once, and reached once the owner says yes', () => {
    const { told, refused, answer, objection } = openWeb();
    refused('shop.example');
    refused('shop.example');
    expect(told()).toEqual([
      expect.stringMatching(
        /^Request 1: the agent "family" asks you to let "family" reach "shop\.example"\.\nReply ok or no/,
      ),
    ]);
    expect(objection('shop.example')).toMatch(/not among the hosts/);
    expect(answer(1, true)).toBe('family may reach shop.example from now on.');
    expect(objection('shop.example')).toBeUndefined();
  });

  test('is asked for whatever its length', () => {
    const { told, refused, answer, objection } = openWeb();
    const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.example`;
    refused(long);
    expect(told()[0]).toContain(long);
    answer(1, true);
    expect(objection(long)).toBeUndefined();
  });

  test('to which the owner has said no is not asked for again that day', () => {
    const { told, refused, answer, clock } = openWeb();
    refused('shop.example');
    answer(1, false);
    refused('shop.example');
    expect(told()).toHaveLength(0);
    clock.advance(25 * 60 * 60_000);
    refused('shop.example');
    expect(told()).toHaveLength(1);
  });

  test('of hundreds is one notice, and one more that says so', () => {
    const { store, told, refused } = openWeb();
    for (let number = 0; number < 300; number += 1) refused(`${number}.example`);
    const notices = told();
    expect(notices).toHaveLength(2);
    expect(notices).toContain(
      'The agent of "family" was refused hosts for which you are not asked. /egress lists them.',
    );
    expect(listApprovals(store)).toHaveLength(5);
  });

  test('is not asked for where no yes could allow it', () => {
    const { store, refused, commands, family } = openWeb();
    for (const name of ['localhost', '10.0.0.1', '127.0.0.1']) refused(name);
    const none = commands.find(({ name }) => name === '/web');
    store.transaction(() => none?.apply({ folder: family.folder, mode: 'none' }).commit());
    refused('shop.example');
    expect(listApprovals(store)).toEqual([]);
  });

  test('of a group that is gone is not allowed', () => {
    const { store, refused, answer } = openWeb();
    refused('shop.example');
    store.run(`DELETE FROM groups WHERE folder = 'family'`);
    expect(findGroup(store, 'family')).toBeUndefined();
    expect(answer(1, true)).toBe('Request 1 is expired already.');
    expect(store.all('SELECT * FROM web_policies')).toEqual([]);
  });
});
