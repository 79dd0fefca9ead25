/** Notices to the owner, which nobody asked for. They are stored, and not repeated within a day. */
import type { Base } from './base.ts';
import { findMainGroup } from './db/groups.ts';
import { countNotices, deleteNotice, hasNotice, saveNotice } from './db/notices.ts';
import type { Outbox } from './outbox.ts';
import type { Owner } from './types.ts';

const dayMs = 24 * 60 * 60_000;

export function createOwner({
  store,
  clock,
  outbox,
}: Pick<Base, 'store' | 'clock'> & { outbox: Outbox }): Owner {
  return {
    tell: (text, { key, atMost, chatId: chat }) =>
      store.transaction(() => {
        const chatId = chat ?? findMainGroup(store)?.chatId;
        const nowMs = clock.now();
        const sinceMs = nowMs - dayMs;
        if (!chatId) return;
        if (hasNotice(store, key, sinceMs)) return;
        // Only what is said counts: what is not said can neither use up the limit nor fill the table.
        const midnightMs = new Date(nowMs).setHours(0, 0, 0, 0);
        const told = atMost ? countNotices(store, atMost.topic, midnightMs - 1) : 0;
        if (atMost && told > atMost.perDay) return;
        const isLast = told === atMost?.perDay;
        saveNotice(store, { key: isLast ? atMost.topic : key, topic: atMost?.topic ?? '', nowMs });
        outbox.add(chatId, { kind: 'text', text: isLast ? atMost.last : text, about: null });
      }),
    forget: (key) => deleteNotice(store, key),
  };
}
