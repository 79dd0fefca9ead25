/**
 * A store of Signal keys in memory, for people whose keys are not needed after the process ends.
 */
import type { SignalDataSet, SignalDataTypeMap, SignalKeyStore } from 'baileys';

export function memoryKeys(): SignalKeyStore {
  const types = new Map<string, Map<string, unknown>>();
  return {
    get: async <Type extends keyof SignalDataTypeMap>(type: Type, ids: string[]) => {
      const known = types.get(type);
      const found = ids.filter((id) => known?.has(id)).map((id) => [id, known?.get(id)]);
      // Under each type lies only what `set` was given for this type.
      return Object.fromEntries(found) as Record<string, SignalDataTypeMap[Type]>;
    },
    set: async (changes: SignalDataSet) => {
      for (const [type, values] of Object.entries(changes)) {
        const known = types.get(type) ?? new Map<string, unknown>();
        types.set(type, known);
        for (const [id, value] of Object.entries(values))
          if (value == null) known.delete(id);
          else known.set(id, value);
      }
    },
  };
}
