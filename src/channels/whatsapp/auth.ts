/**
 * Loads and saves the linked device's keys, each change in one transaction. Baileys' own store
 * writes a file per key: a crash saves half of a change, and a torn file is read as a new identity.
 */
import {
  type AuthenticationCreds,
  type AuthenticationState,
  BufferJSON,
  initAuthCreds,
  proto,
  type SignalDataSet,
  type SignalDataTypeMap,
  type SignalKeyStore,
} from 'baileys';
import type { Arrival, WhatsAppStore } from './store.ts';

/**
 * A type of key that Baileys does not know. A value set under it is added to the inbox, in the same
 * transaction as the keys set with it. Its id is that of the stanza.
 */
export const inboxType = 'nanoclaw-inbox';

export function openAuth(store: WhatsAppStore): AuthenticationState & { save(): void } {
  const saved = store.readKey('creds', '');
  const creds: AuthenticationCreds = saved ? parse(saved) : initAuthCreds();
  return {
    creds,
    keys: openKeys(store),
    save: () => store.writeKey('creds', '', stringify(creds)),
  };
}

/** What a message uses up, coming in or going out. All else can be asked for again. */
const flushedTypes = new Set([inboxType, 'session', 'sender-key', 'pre-key', 'identity-key']);

function openKeys(store: WhatsAppStore): SignalKeyStore {
  return {
    get: async <Type extends keyof SignalDataTypeMap>(type: Type, ids: string[]) => {
      const found: Record<string, SignalDataTypeMap[Type]> = {};
      for (const id of ids) {
        const value = store.readKey(type, id);
        if (value !== null) found[id] = revive(type, parse(value));
      }
      return found;
    },
    set: async (changes: SignalDataSet) => {
      const byType: Record<string, Record<string, unknown>> = { ...changes };
      const write = () => {
        for (const [type, values] of Object.entries(byType))
          for (const [id, value] of Object.entries(values))
            if (type === inboxType) store.addToInbox(value as Arrival, id);
            else store.writeKey(type, id, value == null ? null : stringify(value));
      };
      // A message is encrypted for each device at once: all of it shares a flush, before it leaves.
      if (Object.keys(byType).some((type) => flushedTypes.has(type))) await store.flushed(write);
      // Not awaited either, or the first message of a chat, with which its addresses are learned, would be
      // overtaken by the second.
      else store.unflushed(write);
    },
  };
}

/** Restores what JSON cannot express: one type is a class, another needs a workaround. */
function revive<Type extends keyof SignalDataTypeMap>(type: Type, value: SignalDataTypeMap[Type]) {
  if (type === 'sender-key')
    return mendSenderKey(value as Uint8Array) as unknown as SignalDataTypeMap[Type];
  if (type !== 'app-state-sync-key') return value;
  return proto.Message.AppStateSyncKeyData.fromObject(
    value as object,
  ) as unknown as SignalDataTypeMap[Type];
}

function stringify(value: unknown): string {
  return JSON.stringify(value, BufferJSON.replacer);
}

function parse(text: string) {
  return JSON.parse(text, BufferJSON.reviver);
}

/**
 * Baileys writes the bytes in a group's keys as lists of numbers but reads only base64, so it
 * cannot decrypt a group message that arrives out of order. Remove once it reads what it writes.
 */
function mendSenderKey(record: Uint8Array): Buffer {
  const mended = JSON.parse(Buffer.from(record).toString(), (_, value) =>
    value?.type === 'Buffer' && Array.isArray(value.data)
      ? { type: 'Buffer', data: Buffer.from(value.data).toString('base64') }
      : value,
  );
  return Buffer.from(JSON.stringify(mended));
}
