/** The way out of one group, as the host composes it, for tests of a wire without a host. */
import { onTestFinished } from 'vitest';
import { Ledger } from '../../egress/ledger.ts';
import { listLedger } from '../../egress/store.ts';
import { Web } from '../../egress/web.ts';
import { findGroup, saveGroup } from '../../src/db/groups.ts';
import { systemClock } from '../../src/host.ts';
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
  const caller = { group, account: ledger.account(folder, folder) };
  const entries = (day: string) => {
    ledger.flush();
    return listLedger(store, day);
  };
  return { store, group, web, ledger, caller, told, entries };
}
