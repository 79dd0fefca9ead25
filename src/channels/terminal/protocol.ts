/** The messages between a terminal and the host over the local socket: one JSON object per line. */
import type { Socket } from 'node:net';
import { z } from 'zod';
import { parseJson } from '../../text.ts';
import type { OutboundFile, Settled } from '../../types.ts';

/** Longest line, in UTF-16 units. A longer one ends the connection. */
const lineMax = 1024 * 1024;

export const fromTerminalSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('hello'),
    group: z.string(),
    as: z
      .string()
      .regex(
        /^[^\p{Cc}]{1,60}$/u,
        'The name after --as has 1 to 60 characters, all of them visible.',
      ),
  }),
  /**
   * The terminal chooses the id: a message sent twice is stored once. `files` are absolute paths.
   */
  z.strictObject({
    kind: z.literal('message'),
    id: z.string().min(1).max(100),
    text: z.string(),
    files: z.array(z.string()).max(20),
  }),
  /** The person has seen the message. */
  z.strictObject({ kind: z.literal('ack'), id: z.string() }),
]);
export type FromTerminal = z.infer<typeof fromTerminalSchema>;

export type ToTerminal =
  | { kind: 'welcome'; assistantName: string; needsTrigger: boolean }
  | { kind: 'refused'; reason: string }
  | { kind: 'stored'; id: string }
  /** Such a message is lost. */
  | { kind: 'unstored'; id: string; reason: string }
  | { kind: 'deliver'; id: string; text: string; file: OutboundFile | null }
  /** What somebody else wrote at another terminal of the group. */
  | { kind: 'said'; senderName: string; text: string }
  | { kind: 'activity'; text: string | null }
  | { kind: 'state'; state: Settled };

/** Not checked further: the terminal trusts the host. */
export const toTerminalSchema = z.custom<ToTerminal>((value) => typeof value === 'object');

export function sendLine(socket: Socket, message: FromTerminal | ToTerminal): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

/** Yields each line, parsed by `schema`. Throws at a line that is too long or does not match. */
export async function* readLines<Message>(
  socket: Socket,
  schema: z.ZodType<Message>,
): AsyncGenerator<Message> {
  socket.setEncoding('utf8');
  let rest = '';
  // The socket stays open, since the reader may write a last message after it stops reading.
  for await (const text of socket.iterator({ destroyOnReturn: false })) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineMax) throw new Error('a line is too long');
    for (const line of lines) yield schema.parse(parseJson(line));
  }
}
