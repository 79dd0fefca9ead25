/** Columns that hold JSON, parsed once, where a row is read. */
import type { z } from 'zod';

/** Throws when the column does not hold what `schema` says; NULL reads as `null`. */
export function fromJson<Value>(schema: z.ZodType<Value>, column: string | null): Value {
  return schema.parse(JSON.parse(column ?? 'null'));
}
