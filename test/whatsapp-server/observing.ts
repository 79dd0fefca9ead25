/**
 * What a test can observe at the control port, now or as soon as it happens: the messages, receipts
 * and typing that people see, and the state of the connection. It changes nothing.
 */
import { z } from 'zod';
import type { HeardMessage, Peer } from './peers.ts';
import type { WhatsAppWorld } from './world.ts';

/** A number or a LID. People are named by their number. */
export const digits = z.string().regex(/^\d{5,20}$/);
export const personSchema = z.strictObject({ number: digits, lid: digits, name: z.string() });
export const group = z.string().endsWith('@g.us');
export const count = z.int().min(0).max(100_000);
const timeoutMs = z.int().min(1).max(600_000);

/** A regular expression in which a dot matches any character. */
const pattern = z.string().transform((source, { addIssue }) => {
  try {
    return new RegExp(source, 'su');
  } catch (error) {
    addIssue(String(error));
    return z.NEVER;
  }
});

/** Every given property must match. */
export const heardSchema = z.strictObject({
  by: digits,
  text: pattern.optional(),
  kind: pattern.optional(),
  /** Null is the direct chat. */
  group: group.nullable().optional(),
  /** The number of matches to skip. */
  skip: count.optional(),
  /** How often the message must have been delivered. */
  minDeliveries: count.optional(),
  timeoutMs,
});

/** Waits for a receipt from the client, or for a state of its typing. */
export const signSchema = z.strictObject({
  by: digits,
  receipt: z.strictObject({ id: z.string(), type: z.string() }).optional(),
  presence: z.string().optional(),
  timeoutMs,
});

/** Waits until every given property holds. */
export const stateSchema = z.strictObject({
  isConnected: z.boolean().optional(),
  isReady: z.boolean().optional(),
  isAvailable: z.boolean().optional(),
  /** The address of a chat of whose typing the client wants to know. */
  watches: z.string().optional(),
  isLinked: z.boolean().optional(),
  isCodeRequested: z.boolean().optional(),
  minAttempts: count.optional(),
  minLogins: count.optional(),
  minWrongCodes: count.optional(),
  maxWaiting: count.optional(),
  minStalledFiles: count.optional(),
  minUnanswered: count.optional(),
  timeoutMs,
});

export function waitHeard(
  world: WhatsAppWorld,
  wanted: z.infer<typeof heardSchema>,
): Promise<HeardMessage> {
  const { text, kind, skip = 0, minDeliveries = 1 } = wanted;
  const peer = world.person(wanted.by);
  const matches = (heard: HeardMessage) =>
    (text === undefined || text.test(heard.text)) &&
    (kind === undefined || kind.test(heard.kind)) &&
    (wanted.group === undefined || heard.group === wanted.group) &&
    heard.deliveries >= minDeliveries;
  return world.until(() => peer.heard.filter(matches)[skip], wanted.timeoutMs);
}

export function seenBy({ receipts, presences, retriesAsked, retriesHeard }: Peer) {
  return { receipts, presences, retriesAsked, retriesHeard };
}

export function waitSeen(world: WhatsAppWorld, wanted: z.infer<typeof signSchema>) {
  const { receipt, presence } = wanted;
  const peer = world.person(wanted.by);
  return world.until(() => {
    const isReceived =
      !receipt || peer.receipts.some(({ id, type }) => id === receipt.id && type === receipt.type);
    const isShown =
      presence === undefined || peer.presences.some(({ state }) => state === presence);
    return isReceived && isShown ? seenBy(peer) : undefined;
  }, wanted.timeoutMs);
}

export function stateOf(world: WhatsAppWorld) {
  const { companion, client, attempts, logins, wrongCodes, mailbox, retryReceipts, nacks } = world;
  return {
    isConnected: client?.isOpen ?? false,
    isReady: client?.isReady ?? false,
    isAvailable: client?.isAvailable ?? false,
    watched: [...(client?.watched ?? [])],
    isLinked: companion !== null && !companion.isRemoved,
    isCodeRequested: world.isCodeRequested,
    device: companion?.jid ?? null,
    attempts,
    logins,
    wrongCodes,
    retryReceipts,
    nacks,
    /** The number of stanzas that the client has not confirmed. */
    waiting: mailbox.size,
    /** The number of downloads that stopped in the middle. */
    stalledFiles: world.media.stalledFiles,
    /** The number of queries that got no answer because of `mutedQueries`. */
    unanswered: world.unanswered,
  };
}

export function waitState(world: WhatsAppWorld, wanted: z.infer<typeof stateSchema>) {
  const isAsWanted = (state: ReturnType<typeof stateOf>) =>
    (['isConnected', 'isReady', 'isAvailable', 'isLinked', 'isCodeRequested'] as const).every(
      (name) => wanted[name] === undefined || wanted[name] === state[name],
    ) &&
    (wanted.watches === undefined || state.watched.includes(wanted.watches)) &&
    state.attempts >= (wanted.minAttempts ?? 0) &&
    state.logins >= (wanted.minLogins ?? 0) &&
    state.wrongCodes >= (wanted.minWrongCodes ?? 0) &&
    state.waiting <= (wanted.maxWaiting ?? Number.POSITIVE_INFINITY) &&
    state.stalledFiles >= (wanted.minStalledFiles ?? 0) &&
    state.unanswered >= (wanted.minUnanswered ?? 0);
  return world.until(() => {
    const state = stateOf(world);
    return isAsWanted(state) ? state : undefined;
  }, wanted.timeoutMs);
}
