/** Signal keys in memory, for people who need none after the process ends. */
import type { SignalDataSet, SignalKeyStore } from 'baileys';

export function memoryKeys(): SignalKeyStore {
  const types = new Map<string, Map<string, never>>();
  return {
    get: async (type, ids) => {
      const known = types.get(type);
      return Object.fromEntries(
        ids.flatMap((id) => {
          const value = known?.get(id);
          return value === undefined ? [] : [[id, value]];
        }),
      );
    },
    set: async (changes: SignalDataSet) => {
      for (const [type, values] of Object.entries(changes)) {
        const known = types.get(type) ?? new Map<string, never>();
        types.set(type, known);
        for (const [id, value] of Object.entries(values))
          if (value == null) known.delete(id);
          else known.set(id, value as never);
      }
    },
  };
}
