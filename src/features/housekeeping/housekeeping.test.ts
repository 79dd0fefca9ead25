import { expect, test } from 'vitest';
import { openFeatureHost } from '../../../test/support/feature-host.ts';
import { newMessage } from '../../../test/support/store.ts';
import { saveMessage } from '../../db/messages.ts';
import { saveOutbound } from '../../db/outbox.ts';
import { endTurn, saveTurn } from '../../db/turns.ts';
import { housekeeping } from './housekeeping.ts';

const dayMs = 24 * 60 * 60 * 1000;

test('lets ended things go in time and open ones never', () => {
  const { host, store, clock } = openFeatureHost();
  const parts = housekeeping.create({ ...host, retention: () => parts.retention ?? [] });
  saveMessage(store, newMessage({ id: 'open' }), 1);
  saveMessage(store, newMessage({ id: 'handled', role: 'command' }), 1);
  saveOutbound(
    store,
    { kind: 'text', id: 'o', chatId: 'a', text: '', about: null },
    { lane: 'host' },
  );
  const turn = saveTurn(store, 'main', 1);
  endTurn(store, turn, 'done', null, 1);
  saveTurn(store, 'main', 1);
  parts.start?.();
  clock.advance(400 * dayMs);
  parts.stop?.();
  const count = (table: string) => store.get(`SELECT count(*) AS n FROM ${table}`);
  expect(count('messages')).toEqual({ n: 1 });
  expect(count('outbox')).toEqual({ n: 1 });
  expect(count('turns')).toEqual({ n: 1 });
});
