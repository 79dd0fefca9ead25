/** Reads columns that hold JSON. */

/** NULL is read as `null`. The type is not checked, as in the Store: only our own code writes it. */
export function fromJson<Value>(column: string | null): Value {
  return JSON.parse(column ?? 'null');
}
