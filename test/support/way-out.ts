/** The way out of one group, as the host composes it, for tests of a wire without a host. */

import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { defaultLimits } from '../../src/config.ts';
import { saveGroup } from '../../src/db/groups.ts';
import type { Store } from '../../src/db.ts';
import { Ledger } from '../../src/egress/ledger.ts';
import { listLedger } from '../../src/egress/store.ts';
import { Web } from '../../src/egress/web.ts';
import { Policies } from '../../src/features/web/policy.ts';
import { mainGroup } from '../../src/groups.ts';
import { Outbox } from '../../src/outbox.ts';
import { createOwner } from '../../src/owner.ts';
import type { Group } from '../../src/types.ts';
import { openTemporaryStore, temporaryFolder } from './store.ts';

export function openWayOut(isMain = true, WebClass = Web) {
  const store = openTemporaryStore();
  const folder = isMain ? 'main' : 'family';
  const main = saveGroup(store, mainGroup);
  const family = { ...mainGroup, folder, chatId: 'terminal:family', name: folder, isMain };
  const group: Group = isMain ? main : saveGroup(store, { ...family, requiresTrigger: true });
  const told: string[] = [];
  const owner = createOwner({ store, clock: systemClock, outbox: openOutbox(store, told) });
  const web: Web = new WebClass({
    objection: (group, host) => policies.objection(group, host),
    refused: (group, host) => policies.refused(group, host),
  });
  const policies = new Policies({ store, clock: systemClock, owner, web });
  const ledger = new Ledger({ store, clock: systemClock });
  onTestFinished(() => ledger.close());
  const caller = { group, account: ledger.account(folder, () => 0) };
  const entries = (day: string) => {
    ledger.flush();
    return listLedger(store, day);
  };
  return { store, group, web, policies, ledger, caller, told, entries };
}

/** Notes what is on its way, and delivers nothing. */
function openOutbox(store: Store, told: string[]): Outbox {
  const noted = new Set<string>();
  const outbox = new Outbox({
    config: { filesDir: temporaryFolder() },
    store,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    limits: defaultLimits,
    channelOf: () => undefined,
    leaving: (message) => {
      if (message.kind === 'text' && !noted.has(message.id)) told.push(message.text);
      noted.add(message.id);
    },
    delivered: () => {},
    refused: () => {},
    ended: () => {},
  });
  onTestFinished(() => outbox.close());
  return outbox;
}
