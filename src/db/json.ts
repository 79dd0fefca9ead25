/** Parses columns that hold JSON, once, where a row is read. */
import type { z } from 'zod';

/** Throws if the column does not match `schema`. NULL is read as `null`. */
export function fromJson<Value>(schema: z.ZodType<Value>, column: string | null): Value {
  return schema.parse(JSON.parse(column ?? 'null'));
}
