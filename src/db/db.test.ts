import '../../test/support/flushes.mjs';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { countFlushes, cutDatabase } from '../../test/support/power-cut.ts';
import {
  intoPrompt,
  newMessage,
  openTemporaryStore,
  temporaryFolder,
} from '../../test/support/store.ts';
import { Store } from '../db.ts';
import { settle } from '../outcome.ts';
import { UserError } from '../types.ts';
import { findGroup, noteChat, saveGroup } from './groups.ts';
import {
  claimMessages,
  closeUnclaimed,
  handlePrompts,
  hasOpenMessages,
  hasUnclaimed,
  saveMessage,
  settleMessages,
  takeOmittedCount,
  trimContext,
} from './messages.ts';
import { findNextPending, listPendingChats, listTextsOfTurn, saveOutbound } from './outbox.ts';
import { endRun, listOpenRuns, saveRun, saveSession } from './runs.ts';
import { endTurn, findOpenTurn, saveTurn, saveUsage, startTurn } from './turns.ts';

const chatId = 'terminal:main';
const plain = { kind: 'text', about: null } as const;

describe('the store', () => {
  test('opens again with what was committed', () => {
    const path = join(temporaryFolder(), 'x.db');
    const first = new Store(path);
    saveMessage(first, newMessage({}), 1);
    first.close();
    const second = new Store(path);
    expect(hasUnclaimed(second, chatId)).toBe(true);
    second.close();
  });

  test('takes a transaction back as a whole when it throws', () => {
    const store = openTemporaryStore();
    expect(() =>
      store.transaction(() => {
        saveMessage(store, newMessage({}), 1);
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(hasUnclaimed(store, chatId)).toBe(false);
    store.transaction(() => saveMessage(store, newMessage({}), 1));
    expect(hasUnclaimed(store, chatId)).toBe(true);
  });

  test('refuses a store of a newer version', () => {
    const path = join(temporaryFolder(), 'x.db');
    const store = new Store(path);
    store.run('PRAGMA user_version = 999');
    store.close();
    expect(() => new Store(path)).toThrow(/update NanoClaw/);
  });

  test('commits with full sync into a write-ahead log', () => {
    const store = openTemporaryStore();
    expect(store.get('PRAGMA journal_mode')).toEqual({ journal_mode: 'wal' });
    expect(store.get('PRAGMA synchronous')).toEqual({ synchronous: 2 });
  });
});

describe('the death of the machine', () => {
  /** A store whose groups are named, and their names as its files have them with and without it. */
  function openMortal() {
    const dir = temporaryFolder();
    const store = new Store(join(dir, 'x.db'));
    const note = (name: string) => noteChat(store, name, null, 1);
    const noteLater = (name: string) => store.transaction(() => note(name), { flush: false });
    const copyOf = (die: (path: string) => void) => {
      const copyDir = temporaryFolder();
      cpSync(dir, copyDir, { recursive: true });
      die(join(copyDir, 'x.db'));
      const copy = new Store(join(copyDir, 'x.db'));
      const names = copy.all<{ id: string }>('SELECT id FROM chats ORDER BY id');
      copy.close();
      return names.map(({ id }) => id).join();
    };
    onTestFinished(() => store.close());
    return {
      store,
      note,
      noteLater,
      countFlushes: () => countFlushes(join(dir, 'x.db')),
      afterDeathOfProcess: () => copyOf(() => {}),
      afterDeathOfMachine: () => copyOf(cutDatabase),
    };
  }

  test('takes no commit back, unless it was not to be flushed', () => {
    const { note, noteLater, afterDeathOfProcess, afterDeathOfMachine } = openMortal();
    note('a');
    noteLater('b');
    noteLater('c');
    expect(afterDeathOfProcess()).toBe('a,b,c');
    expect(afterDeathOfMachine()).toBe('a');
    note('d');
    expect(afterDeathOfMachine()).toBe('a,b,c,d');
  });

  test('takes none back in whose transaction, or around it, another was to be flushed', () => {
    const { store, note, noteLater, afterDeathOfMachine } = openMortal();
    store.transaction(() => noteLater('a'));
    expect(afterDeathOfMachine()).toBe('a');
    const seen: string[] = [];
    const work = () => {
      store.afterCommit(() => seen.push(afterDeathOfMachine()));
      store.transaction(() => note('b'));
      noteLater('c');
    };
    store.transaction(work, { flush: false });
    expect(seen).toEqual(['a,b,c']);
    noteLater('d');
    expect(afterDeathOfMachine()).toBe('a,b,c');
  });

  test('takes nothing back after a failed transaction that was not to be flushed', () => {
    const { store, note, noteLater, afterDeathOfMachine } = openMortal();
    const fail = () => {
      note('lost');
      throw new Error('no');
    };
    expect(() => store.transaction(fail, { flush: false })).toThrow('no');
    note('a');
    expect(afterDeathOfMachine()).toBe('a');
    noteLater('b');
    expect(afterDeathOfMachine()).toBe('a');
  });

  test('takes nothing back that was waited for, and all who wait at once share a flush', async () => {
    const { store, noteLater, countFlushes, afterDeathOfMachine } = openMortal();
    const before = countFlushes();
    await Promise.all(
      ['a', 'b', 'c'].map((name) => {
        noteLater(name);
        return store.flushed();
      }),
    );
    expect(countFlushes()).toBe(before + 1);
    expect(afterDeathOfMachine()).toBe('a,b,c');
  });

  test('leaves a whole store while pages are moved from the log into the database', () => {
    const { note, noteLater, afterDeathOfMachine } = openMortal();
    const long = 'x'.repeat(3000);
    for (let index = 0; index < 600; index += 1) noteLater(`${index} ${long}`);
    const kept = afterDeathOfMachine();
    expect(kept.length).toBeGreaterThan(0);
    note('z');
    expect(afterDeathOfMachine().endsWith('z')).toBe(true);
  });
});

describe('what follows a commit', () => {
  /** A store, what has followed its commits, and the way to have something follow. */
  function openFollowed() {
    const store = openTemporaryStore();
    const followed: string[] = [];
    const follow = (name: string) => store.afterCommit(() => void followed.push(name));
    return { store, followed, follow };
  }

  test('runs after the outermost commit, in order, when others can read what was written', () => {
    const path = join(temporaryFolder(), 'x.db');
    const store = new Store(path);
    const seen: string[] = [];
    const follow = (name: string) =>
      store.afterCommit(() => {
        const reader = new Store(path);
        seen.push(`${name}: ${hasUnclaimed(reader, chatId)}`);
        reader.close();
      });
    store.transaction(() => {
      follow('first');
      store.transaction(() => {
        saveMessage(store, newMessage({}), 1);
        follow('inner');
      });
      follow('last');
      expect(seen).toEqual([]);
    });
    store.close();
    expect(seen).toEqual(['first: true', 'inner: true', 'last: true']);
  });

  test('never runs when the transaction is undone, nor with the next one', () => {
    const { store, followed, follow } = openFollowed();
    const broken = () =>
      store.transaction(() => {
        store.transaction(() => follow('inner'));
        follow('outer');
        throw new Error('no');
      });
    expect(broken).toThrow('no');
    store.transaction(() => follow('next'));
    expect(followed).toEqual(['next']);
  });

  test('is only that of the parts that were not undone', () => {
    const { store, followed, follow } = openFollowed();
    const broken = () =>
      store.transaction(() => {
        follow('undone');
        store.transaction(() => follow('undone within'));
        throw new Error('no');
      });
    store.transaction(() => {
      follow('before');
      expect(broken).toThrow('no');
      follow('after');
    });
    expect(followed).toEqual(['before', 'after']);
  });

  test('runs at once outside a transaction, also when it is what followed one', () => {
    const { store, followed, follow } = openFollowed();
    follow('alone');
    expect(followed).toEqual(['alone']);
    store.transaction(() => {
      store.afterCommit(() => {
        follow('by itself');
        store.transaction(() => follow('in a transaction of its own'));
      });
      follow('behind');
    });
    expect(followed).toEqual(['alone', 'by itself', 'in a transaction of its own', 'behind']);
  });

  test('runs although something before it failed, and the failure is reported', () => {
    const { store, followed, follow } = openFollowed();
    const commit = () =>
      store.transaction(() => {
        saveMessage(store, newMessage({}), 1);
        store.afterCommit(() => {
          throw new Error('this one');
        });
        follow('the other');
      });
    expect(commit).toThrow('what follows a commit failed');
    expect(followed).toEqual(['the other']);
    expect(hasUnclaimed(store, chatId)).toBe(true);
  });
});

describe('an outcome', () => {
  /** Settles an outcome that has written a message, among rows of the caller. */
  function settleAmong(end: () => string) {
    const store = openTemporaryStore();
    const followed: string[] = [];
    const attempt = () =>
      store.transaction(() => {
        saveMessage(store, newMessage({ chatId: 'terminal:caller' }), 1);
        const commit = () => {
          saveMessage(store, newMessage({}), 1);
          store.afterCommit(() => void followed.push('of the rows'));
          return end();
        };
        return settle(store, () => ({ commit, after: () => void followed.push('after') }));
      });
    const kept = () => ({
      caller: hasUnclaimed(store, 'terminal:caller'),
      outcome: hasUnclaimed(store, chatId),
    });
    return { attempt, kept, followed };
  }

  test('is committed with the rows of its caller, and is followed', () => {
    const { attempt, kept, followed } = settleAmong(() => 'done');
    expect(attempt()).toEqual({ ok: true, text: 'done' });
    expect(kept()).toEqual({ caller: true, outcome: true });
    expect(followed.sort()).toEqual(['after', 'of the rows']);
  });

  test('that is refused is undone alone, and the refusal is the answer', () => {
    const { attempt, kept, followed } = settleAmong(() => {
      throw new UserError('it is taken');
    });
    expect(attempt()).toEqual({ ok: false, text: 'it is taken' });
    expect(kept()).toEqual({ caller: true, outcome: false });
    expect(followed).toEqual([]);
  });

  test('that breaks undoes its caller as well', () => {
    const { attempt, kept, followed } = settleAmong(() => {
      throw new Error('disk full');
    });
    expect(attempt).toThrow('disk full');
    expect(kept()).toEqual({ caller: false, outcome: false });
    expect(followed).toEqual([]);
  });
});

describe('messages', () => {
  test('are stored once by chat and id, whatever else comes with them', () => {
    const store = openTemporaryStore();
    expect(saveMessage(store, newMessage({}), 1)).toBe(true);
    expect(saveMessage(store, newMessage({ text: 'again' }), 2)).toBe(false);
    expect(saveMessage(store, newMessage({ chatId: 'terminal:other' }), 3)).toBe(true);
  });

  test('keep the order of their arrival, not of their time stamps', () => {
    const store = openTemporaryStore();
    saveMessage(store, newMessage({ id: 'late', sentAtMs: 9000 }), 1);
    saveMessage(store, newMessage({ id: 'early', sentAtMs: 1000 }), 1);
    claimMessages(store, chatId, 1, 10);
    expect(intoPrompt(store, 1, 'u').map(({ id }) => id)).toEqual(['late', 'early']);
  });

  test('are claimed with the context before them, and not with what comes after', () => {
    const store = openTemporaryStore();
    for (const [id, wakes] of [
      ['context', false],
      ['trigger', true],
      ['after', false],
    ] as const)
      saveMessage(store, newMessage({ id, role: wakes ? 'wakes' : 'context' }), 1);
    claimMessages(store, chatId, 1, 10);
    expect(intoPrompt(store, 1, 'u').map(({ id }) => id)).toEqual(['context', 'trigger']);
    expect(hasUnclaimed(store, chatId)).toBe(false);
  });

  test('that only are context wake nobody', () => {
    const store = openTemporaryStore();
    saveMessage(store, newMessage({ role: 'context' }), 1);
    expect(hasUnclaimed(store, chatId)).toBe(false);
    claimMessages(store, chatId, 1, 10);
    expect(hasOpenMessages(store, 1)).toBe(false);
  });

  test('beyond the context limit are let go, the newest kept, and counted once', () => {
    const store = openTemporaryStore();
    noteChat(store, chatId, null, 1);
    for (let index = 0; index < 12; index += 1) {
      saveMessage(store, newMessage({ id: `c${index}`, role: 'context' }), 1);
      trimContext(store, chatId, 5, 1);
    }
    saveMessage(store, newMessage({ id: 'trigger' }), 1);
    claimMessages(store, chatId, 1, 10);
    expect(intoPrompt(store, 1, 'u').map(({ id }) => id)).toEqual([
      ...['c7', 'c8', 'c9', 'c10', 'c11'],
      'trigger',
    ]);
    expect(takeOmittedCount(store, chatId)).toBe(7);
    expect(takeOmittedCount(store, chatId)).toBe(0);
  });

  test('are open until their prompt is handled', () => {
    const store = openTemporaryStore();
    saveMessage(store, newMessage({ id: 'a' }), 1);
    claimMessages(store, chatId, 1, 10);
    intoPrompt(store, 1, 'u1');
    saveMessage(store, newMessage({ id: 'b' }), 1);
    claimMessages(store, chatId, 1, 10);
    intoPrompt(store, 1, 'u2');
    expect(handlePrompts(store, 1, ['u1'], 5)).toMatchObject([{ id: 'a', role: 'wakes' }]);
    expect(handlePrompts(store, 1, ['u1'], 6)).toEqual([]);
    expect(hasOpenMessages(store, 1)).toBe(true);
    handlePrompts(store, 1, ['u2'], 5);
    expect(hasOpenMessages(store, 1)).toBe(false);
  });

  test('that a failed turn gives back are claimed by the next one', () => {
    const store = openTemporaryStore();
    saveMessage(store, newMessage({}), 1);
    claimMessages(store, chatId, 1, 10);
    intoPrompt(store, 1, 'u1');
    settleMessages(store, 1, 'release', 5);
    expect(hasUnclaimed(store, chatId)).toBe(true);
    claimMessages(store, chatId, 2, 10);
    expect(intoPrompt(store, 2, 'u2')).toHaveLength(1);
  });
});

describe('the rest of the schema', () => {
  test('allows one open turn per agent', () => {
    const store = openTemporaryStore();
    const turn = saveTurn(store, 'main', 1);
    expect(() => saveTurn(store, 'main', 1)).toThrow(/UNIQUE/);
    endTurn(store, turn, 'done', null, 2);
    expect(findOpenTurn(store, 'main')).toBeUndefined();
    saveTurn(store, 'main', 3);
  });

  test('allows one main group and gives every group a uid of its own', () => {
    const store = openTemporaryStore();
    const group = (folder: string, isMain: boolean) =>
      saveGroup(store, {
        folder,
        chatId: `terminal:${folder}`,
        name: folder,
        isMain,
        requiresTrigger: !isMain,
        triggeredBy: null,
      });
    group('main', true);
    group('family', false);
    const uidOf = (folder: string) => findGroup(store, folder)?.uid ?? 0;
    expect(uidOf('family')).toBe(uidOf('main') + 1);
    expect(() => group('other', true)).toThrow(/UNIQUE/);
  });

  test('keeps the outbox in order per chat', () => {
    const store = openTemporaryStore();
    for (const [id, chat] of [
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'a'],
    ] as const)
      saveOutbound(store, { id, chatId: chat, text: id, ...plain }, { lane: 'host' });
    expect(listPendingChats(store).sort()).toEqual(['a', 'b']);
    expect(findNextPending(store, 'a', 'host')?.id).toBe('1');
  });

  test('records the cost of a session as what comes on top', () => {
    const store = openTemporaryStore();
    saveTurn(store, 'main', 1);
    const costAfter = (sessionId: string, totalCostUsd: number) => {
      saveSession(store, 'main', sessionId);
      const turn = startTurn(store, 'main');
      if (!turn) throw new Error('no turn is open');
      saveUsage(store, turn, { totalCostUsd, inputTokens: 10, outputTokens: 1 });
      return store.get('SELECT cost_usd AS cost, input_tokens AS input FROM turns');
    };
    expect(costAfter('s1', 0.5)).toEqual({ cost: 0.5, input: 10 });
    expect(costAfter('s1', 0.75)).toEqual({ cost: 0.75, input: 20 });
    expect(costAfter('s2', 0.125)).toEqual({ cost: 0.875, input: 30 });
    expect(costAfter('s2', 0.0625)).toEqual({ cost: 0.875, input: 40 });
  });

  test('lists runs whose end was not recorded', () => {
    const store = openTemporaryStore();
    const first = saveRun(store, 'main', 1);
    const second = saveRun(store, 'main', 2);
    endRun(store, first, { reason: 'idle', detail: '' }, 3);
    expect(listOpenRuns(store)).toEqual([{ id: second, agentId: 'main', outMark: 0 }]);
  });
});

test('what a turn has said is told by its end, long texts cut, however much it said', () => {
  const store = openTemporaryStore();
  for (const turnId of [1, 2])
    for (let number = 1; number <= 30; number += 1)
      saveOutbound(
        store,
        {
          ...plain,
          id: `${turnId}-${number}`,
          chatId,
          text: `${turnId}-${number} ${'x'.repeat(5000)}`,
        },
        { lane: 'agent', turnId },
      );
  const texts = listTextsOfTurn(store, 1);
  expect(texts.map((text) => text.split(' ')[0])).toEqual(
    Array.from({ length: 20 }, (_, index) => `1-${index + 11}`),
  );
  expect(texts.every((text) => text.length === 2000)).toBe(true);
});

test('two features of one name are refused', () => {
  const feature = { name: 'tasks', migrations: [] };
  const open = () => new Store(join(temporaryFolder(), 'x.db'), undefined, [feature, feature]);
  expect(open).toThrow('two features have the same name');
});

test('what fails after a commit is told to whom it concerns, and undoes nothing', () => {
  const told: string[] = [];
  const store = new Store(join(temporaryFolder(), 'x.db'), undefined, [], ({ message }) => {
    told.push(message);
  });
  onTestFinished(() => store.close());
  const saved = store.transaction(() => {
    store.afterCommit(() => {
      throw new Error('no');
    });
    return saveMessage(store, newMessage({}), 1);
  });
  expect([saved, told]).toEqual([true, ['what follows a commit failed']]);
});

test('all that waits in an inbox can be closed at once, context aside', () => {
  const store = openTemporaryStore();
  for (let index = 0; index < 450; index += 1)
    saveMessage(store, newMessage({ id: `${index}`, role: index % 2 ? 'wakes' : 'context' }), 1);
  closeUnclaimed(store, chatId, 2);
  expect(hasUnclaimed(store, chatId)).toBe(false);
  const open = 'SELECT count(*) AS n FROM messages WHERE handled_at IS NULL';
  expect(store.get(open)).toEqual({ n: 225 });
});
