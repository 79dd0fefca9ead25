/**
 * What can be asked at the control port: one action for each thing that the people, the phone or
 * the network do, and for what they see. What comes in is checked by the schema beside it.
 */
import { z } from 'zod';
import type { ClientConnection } from './connection.ts';
import { type Content, contentSchema, isMedia, mediaMessage, plainMessage } from './contents.ts';
import { groupNotification, participantNode } from './groups.ts';
import { node } from './nodes.ts';
import type { HeardMessage, Peer } from './peers.ts';
import { Refusal } from './refusal.ts';
import type { WhatsAppWorld } from './world.ts';

const digits = z.string().regex(/^\d{5,20}$/);
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
const count = z.int().min(0).max(100_000);
const timeoutMs = z.int().min(1).max(600_000);
/** A person is named by their number. */
const by = digits;
const group = z.string().endsWith('@g.us');
/** A regular expression; a dot is any character. */
const pattern = z.string().transform((source, { addIssue }) => {
  try {
    return new RegExp(source, 'su');
  } catch (error) {
    addIssue(String(error));
    return z.NEVER;
  }
});

const sendSchema = z.strictObject({
  by,
  /** Left out: the direct chat. */
  group: group.optional(),
  content: contentSchema,
  via: z.enum(['lid', 'pn']).optional(),
  wrap: z.enum(['ephemeral', 'view-once']).optional(),
  isCorrupt: z.boolean().optional(),
});

const faultsSchema = z.strictObject({
  ackDelayMs: z.tuple([z.number().min(0), z.number().min(0)]).optional(),
  rejections: z.array(z.int()).max(1000).optional(),
  swallowedAcks: count.optional(),
  damaged: count.optional(),
  duplicates: count.optional(),
  refusesConnections: z.boolean().optional(),
  loginFailure: z.int().nullable().optional(),
  mutesPings: z.boolean().optional(),
  clockSkewSeconds: z.int().optional(),
  mediaAnswers: z
    .array(z.union([z.literal('stall'), z.literal('truncate'), z.int().min(300).max(599)]))
    .optional(),
  phoneUploadsAgain: z.boolean().optional(),
  phoneDeletedMedia: z.boolean().optional(),
});

const heardSchema = z.strictObject({
  by,
  text: pattern.optional(),
  kind: pattern.optional(),
  group: group.nullable().optional(),
  /** Passes over as many matches. */
  skip: count.optional(),
  /** The same message came at least so often. */
  minDeliveries: count.optional(),
  timeoutMs,
});

/** Each by its name: what it takes, and what it does. */
export const actions = {
  addPeer: action(
    z.strictObject({ number: digits, lid: digits, name: z.string() }),
    (world, person) => {
      world.addPeer(person);
    },
  ),
  addGroup: action(
    z.strictObject({ id: digits, subject: z.string(), members: z.array(digits) }),
    (world, { id, subject, members }) => {
      const jid = `${id}@g.us`;
      const people = members.map((number) => personOf(world, number));
      world.groups.set(jid, { jid, subject, members: [...people, world.owner] });
      return jid;
    },
  ),
  /** Something said in the direct chat before the device is linked: it comes as history. */
  addHistory: action(
    z.strictObject({ by, text: z.string(), atSeconds: z.int().min(0) }),
    (world, { by: number, text, atSeconds }) => {
      world.past.push({ by: personOf(world, number), text, atSeconds });
    },
  ),
  changeGroup: action(
    z.strictObject({
      group,
      by,
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
  /** Starts to type, or stops. */
  type: action(
    z.strictObject({ by, group: group.optional(), isOver: z.boolean().optional() }),
    (world, request) => {
      const state = request.isOver ? 'paused' : 'composing';
      personOf(world, request.by).showTyping(request.group ?? null, state);
    },
  ),
  read: action(z.strictObject({ by, messageId: z.string() }), (world, request) =>
    personOf(world, request.by).read(request.messageId),
  ),
  setFaults: action(faultsSchema, (world, changes) => {
    for (const [name, value] of Object.entries(changes))
      if (value !== undefined) Object.assign(world.faults, { [name]: value });
  }),
  expireMedia: action(z.strictObject({ messageId: z.string() }), (world, { messageId }) =>
    world.expireMedia(messageId),
  ),
  drop: action(z.strictObject({}), (world) => clientOf(world).drop()),
  stall: action(z.strictObject({}), (world) => {
    clientOf(world).isStalled = true;
  }),
  endStream: action(z.strictObject({ code }), (world, { code }) => {
    if (code === 440) clientOf(world).endWith(null, node('conflict', { type: 'replaced' }));
    else clientOf(world).endWith(code);
  }),
  waitHeard: action(heardSchema, waitHeard),
  heard: action(z.strictObject({ by }), (world, request) => personOf(world, request.by).heard),
  seen: action(z.strictObject({ by }), (world, request) => seenBy(personOf(world, request.by))),
  /** Until the client has confirmed or read this person's message, or shown this state of typing. */
  waitSeen: action(
    z.strictObject({
      by,
      receipt: z.strictObject({ id: z.string(), type: z.string() }).optional(),
      presence: z.string().optional(),
      timeoutMs,
    }),
    waitSeen,
  ),
  state: action(z.strictObject({}), stateOf),
  /** Until all that is named is so. */
  waitState: action(
    z.strictObject({
      isConnected: z.boolean().optional(),
      isReady: z.boolean().optional(),
      isLinked: z.boolean().optional(),
      isCodeRequested: z.boolean().optional(),
      minAttempts: count.optional(),
      minLogins: count.optional(),
      minWrongCodes: count.optional(),
      maxWaiting: count.optional(),
      minStalledFiles: count.optional(),
      timeoutMs,
    }),
    waitState,
  ),
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

function personOf(world: WhatsAppWorld, number: string): Peer {
  const peer = world.peers.find((candidate) => candidate.number === number);
  if (!peer) throw new Refusal(`nobody has the number ${number}`);
  return peer;
}

/** A test that ends a connection which is not there would show nothing. */
function clientOf({ client }: WhatsAppWorld): ClientConnection {
  if (!client?.isOpen) throw new Refusal('no client is connected');
  return client;
}

async function send(world: WhatsAppWorld, request: z.infer<typeof sendSchema>): Promise<string> {
  const { by: number, group: jid = null, content, wrap, ...options } = request;
  const peer = personOf(world, number);
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
  const author = personOf(world, change.by);
  const tell = (what: ReturnType<typeof node>) =>
    world.notify((ids) => groupNotification(changed, author, what, ids));
  if (change.subject !== undefined) {
    changed.subject = change.subject;
    tell(node('subject', { subject: change.subject, s_t: world.faults.now() }));
  }
  if (change.add !== undefined) {
    const member = personOf(world, change.add);
    changed.members.push(member);
    tell(node('add', {}, [participantNode(member)]));
  }
  if (change.remove !== undefined) {
    const member = personOf(world, change.remove);
    changed.members = changed.members.filter((each) => each !== member);
    tell(node('remove', {}, [participantNode(member)]));
  }
}

function waitHeard(
  world: WhatsAppWorld,
  request: z.infer<typeof heardSchema>,
): Promise<HeardMessage> {
  const { by: number, text, kind, group: jid, skip = 0 } = request;
  const peer = personOf(world, number);
  const matches = (heard: HeardMessage) =>
    (text === undefined || text.test(heard.text)) &&
    (kind === undefined || kind.test(heard.kind)) &&
    (jid === undefined || heard.group === jid) &&
    heard.deliveries >= (request.minDeliveries ?? 1);
  return world.until(() => peer.heard.filter(matches)[skip], request.timeoutMs);
}

function seenBy({ receipts, presences, retriesAsked, retriesHeard }: Peer) {
  return { receipts, presences, retriesAsked, retriesHeard };
}

interface WantedSign {
  by: string;
  receipt?: { id: string; type: string } | undefined;
  presence?: string | undefined;
  timeoutMs: number;
}

function waitSeen(world: WhatsAppWorld, { by: number, receipt, presence, timeoutMs }: WantedSign) {
  const peer = personOf(world, number);
  return world.until(() => {
    const isReceived =
      !receipt || peer.receipts.some(({ id, type }) => id === receipt.id && type === receipt.type);
    const isShown =
      presence === undefined || peer.presences.some(({ state }) => state === presence);
    return isReceived && isShown ? seenBy(peer) : undefined;
  }, timeoutMs);
}

function stateOf(world: WhatsAppWorld) {
  const { companion, client, attempts, logins, wrongCodes, mailbox, retryReceipts, nacks } = world;
  return {
    isConnected: client?.isOpen ?? false,
    isReady: client?.isReady ?? false,
    isLinked: companion !== null && !companion.isRemoved,
    isCodeRequested: world.isCodeRequested,
    device: companion?.jid ?? null,
    ...{ attempts, logins, wrongCodes, retryReceipts, nacks },
    /** Stanzas that the client has not confirmed. */
    waiting: mailbox.size,
    /** Downloads that stopped in the middle. */
    stalledFiles: world.media.stalledFiles,
  };
}

interface WantedState {
  isConnected?: boolean | undefined;
  isReady?: boolean | undefined;
  isLinked?: boolean | undefined;
  isCodeRequested?: boolean | undefined;
  minAttempts?: number | undefined;
  minLogins?: number | undefined;
  minWrongCodes?: number | undefined;
  maxWaiting?: number | undefined;
  minStalledFiles?: number | undefined;
  timeoutMs: number;
}

function waitState(world: WhatsAppWorld, wanted: WantedState) {
  return world.until(() => {
    const state = stateOf(world);
    const asWanted = (name: 'isConnected' | 'isReady' | 'isLinked' | 'isCodeRequested') =>
      wanted[name] === undefined || wanted[name] === state[name];
    const isSo =
      asWanted('isConnected') &&
      asWanted('isReady') &&
      asWanted('isLinked') &&
      asWanted('isCodeRequested') &&
      state.attempts >= (wanted.minAttempts ?? 0) &&
      state.logins >= (wanted.minLogins ?? 0) &&
      state.wrongCodes >= (wanted.minWrongCodes ?? 0) &&
      state.waiting <= (wanted.maxWaiting ?? Number.POSITIVE_INFINITY) &&
      state.stalledFiles >= (wanted.minStalledFiles ?? 0);
    return isSo ? state : undefined;
  }, wanted.timeoutMs);
}
