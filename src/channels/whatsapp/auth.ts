/**
 * The linked device's keys, from and to the store. A file per key, as Baileys' own store has it,
 * is written in steps and read back as a new identity when torn: here a change is one transaction.
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
 * A type of key that Baileys does not know: what is set under it goes to the inbox, in the
 * transaction of the keys that are set with it. Its id is that of the stanza.
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
      store.transaction(() => {
        for (const [type, values] of Object.entries(byType))
          for (const [id, value] of Object.entries(values))
            if (type === inboxType) store.addToInbox(value as Arrival, id);
            else store.writeKey(type, id, value == null ? null : stringify(value));
      });
    },
  };
}

/** One type is used as the class that it was; the other needs a work-round. */
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
 * Baileys writes bytes inside a group's keys as lists of numbers and reads only base64, so that it
 * cannot read a group message which was overtaken by another. Can go when it reads what it writes.
 */
function mendSenderKey(record: Uint8Array): Buffer {
  const mended = JSON.parse(Buffer.from(record).toString(), (_, value) =>
    value?.type === 'Buffer' && Array.isArray(value.data)
      ? { type: 'Buffer', data: Buffer.from(value.data).toString('base64') }
      : value,
  );
  return Buffer.from(JSON.stringify(mended));
}
