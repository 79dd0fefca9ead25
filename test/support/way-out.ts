/** The way out of one group, as the host composes it, for tests of a wire without a host. */
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { findGroup, saveGroup } from '../../src/db/groups.ts';
import { Ledger } from '../../src/egress/ledger.ts';
import { listLedger } from '../../src/egress/store.ts';
import { Web } from '../../src/egress/web.ts';
import type { Group } from '../../src/types.ts';
import { openTemporaryStore } from './store.ts';

export function openWayOut(isMain = true, WebClass = Web) {
  const store = openTemporaryStore();
  const folder = isMain ? 'main' : 'family';
  const names = { folder, chatId: `terminal:${folder}`, name: folder };
  saveGroup(store, { ...names, isMain, requiresTrigger: !isMain, triggeredBy: null });
  const group = findGroup(store, folder) as Group;
  const told: string[] = [];
  const web = new WebClass({ store, clock: systemClock, tellOwner: (text) => told.push(text) });
  const ledger = new Ledger({ store, clock: systemClock });
  onTestFinished(() => ledger.close());
  const caller = { group, account: ledger.account(folder, () => 0) };
  const entries = (day: string) => {
    ledger.flush();
    return listLedger(store, day);
  };
  return { store, group, web, ledger, caller, told, entries };
}
