/**
 * The actions of the control port: one for each thing that people, the phone or the network can do.
 * Each request is checked by the schema beside it. What people see is in `observing.ts`.
 */
import { z } from 'zod';
import type { ClientConnection } from './connection.ts';
import { type Content, contentSchema, isMedia, mediaMessage, plainMessage } from './contents.ts';
import { groupNotification, participantNode } from './groups.ts';
import { node } from './nodes.ts';
import {
  count,
  digits,
  group,
  heardSchema,
  personSchema,
  seenBy,
  signSchema,
  stateOf,
  stateSchema,
  waitHeard,
  waitSeen,
  waitState,
} from './observing.ts';
import type { Peer } from './peers.ts';
import { Refusal } from './refusal.ts';
import type { WhatsAppWorld } from './world.ts';

const code = z.union([
  z.literal(401),
  z.literal(403),
  z.literal(405),
  z.literal(408),
  z.literal(428),
  z.literal(440),
  z.literal(500),
  z.literal(503),
  z.literal(515),
]);
const sendSchema = z.strictObject({
  by: digits,
  /** The direct chat when left out. */
  group: group.optional(),
  content: contentSchema,
  via: z.enum(['lid', 'pn']).optional(),
  wrap: z.enum(['ephemeral', 'view-once']).optional(),
  isCorrupt: z.boolean().optional(),
});

const faultsSchema = z.strictObject({
  ackDelayMs: z.tuple([z.number().min(0), z.number().min(0)]).optional(),
  rejections: z.array(z.int()).max(1000).optional(),
  rejectedGroup: group.nullable().optional(),
  swallowedAcks: count.optional(),
  damaged: count.optional(),
  duplicates: count.optional(),
  refusesConnections: z.boolean().optional(),
  loginFailure: z.int().nullable().optional(),
  hidesName: z.boolean().optional(),
  mutesPings: z.boolean().optional(),
  mutedQueries: z.array(z.string()).max(100).optional(),
  clockSkewSeconds: z.int().optional(),
  stalledUploads: count.optional(),
  mediaAnswers: z
    .array(z.union([z.literal('stall'), z.literal('truncate'), z.int().min(300).max(599)]))
    .optional(),
  phoneUploadsAgain: z.boolean().optional(),
  phoneDeletedMedia: z.boolean().optional(),
});

/** By name: the request's schema and what the action does. */
export const actions = {
  addPeer: action(personSchema, (world, person) => {
    world.addPeer(person);
  }),
  addGroup: action(
    z.strictObject({ id: digits, subject: z.string(), members: z.array(digits) }),
    (world, { id, subject, members }) => {
      const jid = `${id}@g.us`;
      const people = members.map((number) => world.person(number));
      world.groups.set(jid, { jid, subject, members: [...people, world.owner] });
      return jid;
    },
  ),
  /** Adds a message from before the link to the direct chat. The device receives it as history. */
  addHistory: action(
    z.strictObject({ by: digits, text: z.string(), atSeconds: z.int().min(0) }),
    (world, { by: number, text, atSeconds }) => {
      world.past.push({ by: world.person(number), text, atSeconds });
    },
  ),
  changeGroup: action(
    z.strictObject({
      group,
      by: digits,
      subject: z.string().optional(),
      add: digits.optional(),
      remove: digits.optional(),
    }),
    changeGroup,
  ),
  scanQr: action(z.strictObject({ qr: z.string() }), (world, { qr }) => world.scan(qr)),
  enterCode: action(z.strictObject({ code: z.string().length(8) }), (world, { code }) =>
    world.enterCode(code),
  ),
  unlinkFromPhone: action(z.strictObject({}), (world) => world.unlinkFromPhone()),
  send: action(sendSchema, (world, request) => send(world, request)),
  sendMany: action(
    z.strictObject({ messages: z.array(sendSchema).max(10_000) }),
    async (world, { messages }) => {
      const ids: string[] = [];
      for (const message of messages) ids.push(await send(world, message));
      return ids;
    },
  ),
  sendFromPhone: action(
    z.strictObject({ content: contentSchema, to: z.string() }),
    async (world, { content, to }) => {
      const message = await messageOf(world.owner, content, to);
      return world.owner.sayFromPhone(message, to);
    },
  ),
  /** Shows that somebody starts or stops typing. */
  type: action(
    z.strictObject({ by: digits, group: group.optional(), isOver: z.boolean().optional() }),
    (world, request) => {
      const state = request.isOver ? 'paused' : 'composing';
      world.person(request.by).showTyping(request.group ?? null, state);
    },
  ),
  read: action(z.strictObject({ by: digits, messageId: z.string() }), (world, request) =>
    world.person(request.by).read(request.messageId),
  ),
  setFaults: action(faultsSchema, (world, changes) => {
    for (const [name, value] of Object.entries(changes))
      if (value !== undefined) Object.assign(world.faults, { [name]: value });
  }),
  expireMedia: action(z.strictObject({ messageId: z.string() }), (world, { messageId }) =>
    world.expiredMedia.expire(messageId),
  ),
  resumeMedia: action(z.strictObject({}), (world) => world.media.resume()),
  drop: action(z.strictObject({}), (world) => clientOf(world).drop()),
  stall: action(z.strictObject({}), (world) => {
    clientOf(world).isStalled = true;
  }),
  endStream: action(z.strictObject({ code }), (world, { code }) => {
    if (code === 440) clientOf(world).endWith(null, node('conflict', { type: 'replaced' }));
    else clientOf(world).endWith(code);
  }),
  waitHeard: action(heardSchema, waitHeard),
  heard: action(z.strictObject({ by: digits }), (world, { by }) => world.person(by).heard),
  seen: action(z.strictObject({ by: digits }), (world, { by }) => seenBy(world.person(by))),
  waitSeen: action(signSchema, waitSeen),
  state: action(z.strictObject({}), stateOf),
  waitState: action(stateSchema, waitState),
};

export type Actions = typeof actions;
export type ActionName = keyof Actions;

export interface Action<Schema extends z.ZodType, Result> {
  schema: Schema;
  run(world: WhatsAppWorld, request: z.output<Schema>): Result;
}

function action<Schema extends z.ZodType, Result>(
  schema: Schema,
  run: (world: WhatsAppWorld, request: z.output<Schema>) => Result,
): Action<Schema, Result> {
  return { schema, run };
}

/** Throws a Refusal without a client: ending no connection would prove nothing. */
function clientOf({ client }: WhatsAppWorld): ClientConnection {
  if (!client?.isOpen) throw new Refusal('no client is connected');
  return client;
}

async function send(world: WhatsAppWorld, request: z.infer<typeof sendSchema>): Promise<string> {
  const { by: number, group: jid = null, content, wrap, ...options } = request;
  const peer = world.person(number);
  if (jid !== null && !world.groups.has(jid)) throw new Refusal(`there is no group ${jid}`);
  const message = await messageOf(peer, content, jid ?? peer.addresses.lid);
  const wrapped =
    wrap === 'ephemeral'
      ? { ephemeralMessage: { message } }
      : wrap === 'view-once'
        ? { viewOnceMessageV2: { message } }
        : message;
  const edit = content.kind === 'edit' ? '1' : content.kind === 'deletion' ? '7' : undefined;
  const { via, isCorrupt } = options;
  return peer.say(wrapped, jid, {
    ...(via && { via }),
    ...(isCorrupt && { isCorrupt }),
    ...(edit && { edit }),
  });
}

async function messageOf(peer: Peer, content: Content, chat: string) {
  if (!isMedia(content)) return plainMessage(content, chat);
  return mediaMessage(content, await peer.upload(content));
}

interface GroupChange {
  group: string;
  by: string;
  subject?: string | undefined;
  add?: string | undefined;
  remove?: string | undefined;
}

function changeGroup(world: WhatsAppWorld, change: GroupChange): void {
  const changed = world.groups.get(change.group);
  if (!changed) throw new Refusal(`there is no group ${change.group}`);
  const author = world.person(change.by);
  const tell = (what: ReturnType<typeof node>) =>
    world.notify((ids) => groupNotification(changed, author, what, ids));
  if (change.subject !== undefined) {
    changed.subject = change.subject;
    tell(node('subject', { subject: change.subject, s_t: world.faults.now() }));
  }
  if (change.add !== undefined) {
    const member = world.person(change.add);
    changed.members.push(member);
    tell(node('add', {}, [participantNode(member)]));
  }
  if (change.remove !== undefined) {
    const member = world.person(change.remove);
    changed.members = changed.members.filter((each) => each !== member);
    tell(node('remove', {}, [participantNode(member)]));
  }
}
