/** The way out of one group, as the host composes it, for tests of a wire without a host. */
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { saveGroup } from '../../src/db/groups.ts';
import { Ledger } from '../../src/egress/ledger.ts';
import { listLedger } from '../../src/egress/store.ts';
import { Web } from '../../src/egress/web.ts';
import { Policies } from '../../src/features/web/policy.ts';
import { mainGroup } from '../../src/groups.ts';
import type { Group } from '../../src/types.ts';
import { openTemporaryStore } from './store.ts';

export function openWayOut(isMain = true, WebClass = Web) {
  const store = openTemporaryStore();
  const folder = isMain ? 'main' : 'family';
  const main = saveGroup(store, mainGroup);
  const family = { ...mainGroup, folder, chatId: 'terminal:family', name: folder, isMain };
  const group: Group = isMain ? main : saveGroup(store, { ...family, requiresTrigger: true });
  /** The hosts for which the owner would be asked. */
  const refused: string[] = [];
  const web: Web = new WebClass({
    objection: (group, host) => policies.objection(group, host),
    refused: (_, host) => void refused.push(host),
  });
  const policies = new Policies({ store, web });
  const ledger = new Ledger({ store, clock: systemClock });
  onTestFinished(() => ledger.close());
  const caller = { group, account: ledger.account(folder, () => 0) };
  const entries = (day: string) => {
    ledger.flush();
    return listLedger(store, day);
  };
  return { store, group, web, policies, ledger, caller, refused, entries };
}
