/**
 * What a terminal and the host say to each other over the local socket: one JSON object a
 * line. Both sides parse here; a line above the limit ends the connection.
 */
import type { Socket } from 'node:net';
import { z } from 'zod';

const lineBytesMax = 1024 * 1024;

export const fromTerminalSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('hello'),
    group: z.string().max(100),
    as: z
      .string()
      .trim()
      .min(1)
      .max(60)
      .regex(/^[^\p{Cc}]*$/u),
  }),
  z.strictObject({
    kind: z.literal('message'),
    /** Made by the terminal; a message sent twice is stored once. */
    id: z.string().min(1).max(100),
    text: z.string(),
    /** Absolute paths of files on this machine that go with it. */
    files: z.array(z.string()).max(20),
  }),
  /** The person has seen the message. */
  z.strictObject({ kind: z.literal('ack'), id: z.string().max(100) }),
]);
export type FromTerminal = z.infer<typeof fromTerminalSchema>;

export const toTerminalSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('welcome'),
    assistantName: z.string(),
    needsTrigger: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('refused'), reason: z.string() }),
  z.strictObject({ kind: z.literal('stored'), id: z.string() }),
  z.strictObject({
    kind: z.literal('deliver'),
    id: z.string(),
    text: z.string(),
    file: z
      .object({ path: z.string(), name: z.string(), mime: z.string(), sizeBytes: z.number() })
      .nullable(),
  }),
  /** Somebody else at another terminal of the same group. */
  z.strictObject({ kind: z.literal('said'), senderName: z.string(), text: z.string() }),
  z.strictObject({ kind: z.literal('activity'), text: z.string().nullable() }),
  z.strictObject({ kind: z.literal('state'), state: z.enum(['open', 'settled', 'failed']) }),
]);
export type ToTerminal = z.infer<typeof toTerminalSchema>;

export function sendLine(socket: Socket, message: FromTerminal | ToTerminal): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

/** Yields each line as `schema` parses it. Throws on a line that is too long or wrong. */
export async function* readLines<Message>(
  socket: Socket,
  schema: z.ZodType<Message>,
): AsyncGenerator<Message> {
  socket.setEncoding('utf8');
  let rest = '';
  for await (const text of socket.iterator({ destroyOnReturn: false })) {
    rest += String(text);
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineBytesMax) throw new Error('a line is too long');
    for (const line of lines) yield schema.parse(JSON.parse(line));
  }
}
