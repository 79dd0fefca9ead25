/** Tells whether this machine is linked to WhatsApp. Does not load WhatsApp's client. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config.ts';
import { WhatsAppStore } from './store.ts';

export function storePath({ storeDir }: Pick<Config, 'storeDir'>): string {
  return join(storeDir, 'whatsapp.db');
}

export function isLinked(config: Pick<Config, 'storeDir'>): boolean {
  if (!existsSync(storePath(config))) return false;
  const store = new WhatsAppStore(storePath(config));
  try {
    return store.isLinked;
  } finally {
    store.close();
  }
}
