/** A real store in a temporary folder. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { assignPrompt, listUnprompted, type NewMessage } from '../../src/db/messages.ts';
import { migrations } from '../../src/db/migrations.ts';
import { Store } from '../../src/db.ts';
import { features } from '../../src/features.ts';
import { mainGroup } from '../../src/groups.ts';
import type { Agent, Group, StoredMessage } from '../../src/types.ts';

export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** With the tables of every feature. */
export function openTemporaryStore(): Store {
  const store = new Store(join(temporaryFolder(), 'nanoclaw.db'), migrations, features);
  onTestFinished(() => store.close());
  return store;
}

export function newMessage(changes: Partial<NewMessage>): NewMessage {
  return {
    chatId: 'terminal:main',
    id: 'm1',
    sender: { kind: 'person', id: 'terminal:you', name: 'you' },
    text: 'hello',
    origin: 'typed',
    mentions: [],
    sentAtMs: 1000,
    attachments: [],
    role: 'wakes',
    quote: null,
    ...changes,
  };
}

/** Puts all messages of the turn that are in no prompt into one. */
export function intoPrompt(store: Store, turnId: number, uuid: string): StoredMessage[] {
  const messages = listUnprompted(store, turnId);
  assignPrompt(store, turnId, uuid, messages.at(-1)?.seq ?? 0);
  return messages;
}

/** The own agent of a group, with the folder as its id. */
export function agentOf(group: Partial<Group>): Agent {
  const folder = group.folder ?? 'main';
  const chatId = `terminal:${folder}`;
  const known = { ...mainGroup, folder, chatId, name: folder, uid: 0, ...group };
  const voice = { kind: 'chat', chatId } as const;
  return { id: folder, group: known, inbox: chatId, voice, tools: null, model: null };
}
