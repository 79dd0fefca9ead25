/** A real store in a temporary folder. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { NewMessage } from '../../src/db/messages.ts';
import { Store } from '../../src/db.ts';

export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function openTemporaryStore(): Store {
  const store = new Store(join(temporaryFolder(), 'nanoclaw.db'));
  onTestFinished(() => store.close());
  return store;
}

export function newMessage(changes: Partial<NewMessage>): NewMessage {
  return {
    chatId: 'terminal:main',
    id: 'm1',
    senderId: 'terminal:you',
    senderName: 'you',
    text: 'hello',
    sentAtMs: 1000,
    attachments: [],
    wakes: true,
    isHandled: false,
    quote: null,
    ...changes,
  };
}
