/** Notices to the owner, which nobody asked for. They are stored, and not repeated within a day. */
import type { Base } from './base.ts';
import { findMainGroup } from './db/groups.ts';
import { countNotices, deleteNotice, saveNotice } from './db/notices.ts';
import type { Outbox } from './outbox.ts';
import type { NoticeLimit, Owner } from './types.ts';

const dayMs = 24 * 60 * 60_000;

export function createOwner({
  store,
  clock,
  outbox,
}: Pick<Base, 'store' | 'clock'> & { outbox: Outbox }): Owner {
  /** What to send on the topic; undefined when its limit for the day is reached. */
  const within = (text: string, atMost: NoticeLimit | undefined, sinceMs: number) => {
    if (!atMost) return text;
    const told = countNotices(store, atMost.topic, sinceMs);
    if (told > atMost.perDay + 1) return undefined;
    return told > atMost.perDay ? atMost.last : text;
  };
  return {
    tell: (text, { key, atMost }) =>
      store.transaction(() => {
        const chatId = findMainGroup(store)?.chatId;
        const nowMs = clock.now();
        const sinceMs = nowMs - dayMs;
        if (!chatId) return;
        if (!saveNotice(store, { key, topic: atMost?.topic ?? '', nowMs, sinceMs })) return;
        const words = within(text, atMost, sinceMs);
        if (words !== undefined) outbox.add(chatId, { kind: 'text', text: words, about: null });
      }),
    forget: (key) => deleteNotice(store, key),
  };
}
