/**
 * Opens one connection of Baileys, with the workarounds that keep it from losing messages. Each
 * names the defect of Baileys 7.0.0-rc14 and says when to remove it. Does not reconnect.
 */
import {
  type AuthenticationState,
  addTransactionCapability,
  type BinaryNode,
  Browsers,
  DEFAULT_CONNECTION_CONFIG,
  decodeMessageNode,
  type GroupMetadata,
  getContentType,
  isJidBroadcast,
  isJidNewsletter,
  makeWASocket,
  normalizeMessageContent,
  proto,
  type SignalDataSet,
  type SocketConfig,
  unpadRandomMax16,
  type WAMessage,
  type WASocket,
  type WAVersion,
} from 'baileys';
import type { Log } from '../../log.ts';
import type { Clock } from '../../types.ts';
import { inboxType, openAuth } from './auth.ts';
import { loggerFor } from './quiet.ts';
import type { Arrival, WhatsAppStore } from './store.ts';

export interface SocketDependencies {
  store: WhatsAppStore;
  log: Log;
  clock: Clock;
  /** Null: WhatsApp's own. */
  webSocketUrl: string | null;
  keepAliveMs: number;
  version: WAVersion | null;
  /** Whether to store the message. */
  isKept(message: WAMessage): boolean;
  /** Called when the store cannot be written. Messages must then stay at the server. */
  storeFailed(error: Error): void;
  /** Called once a message is committed to the inbox. */
  kept(message: WAMessage): void;
}

const groupsCachedMax = 200;
/** A message of nothing but one byte of padding. */
const emptyMessage = Uint8Array.of(1);
const transactionOptions = { maxCommitRetries: 3, delayBetweenTriesMs: 50 };

export function openSocket(deps: SocketDependencies): WASocket {
  const { store, log, webSocketUrl, version } = deps;
  const logger = loggerFor(log);
  const auth = openAuth(store);
  const stanzas = new WeakMap<object, BinaryNode>();
  const groups = new Map<string, Promise<GroupMetadata>>();
  const socket: WASocket = makeWASocket({
    auth,
    logger,
    ...(webSocketUrl && { waWebSocketUrl: webSocketUrl }),
    ...(version && { version }),
    // The channel says so where it does no harm.
    markOnlineOnConnect: false,
    browser: Browsers.ubuntu('Chrome'),
    keepAliveIntervalMs: deps.keepAliveMs,
    // Only the first part of the history, for its LIDs. Earlier messages are not read.
    syncFullHistory: false,
    shouldSyncHistoryMessage: ({ syncType }) =>
      syncType === proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP,
    shouldIgnoreJid: (jid) => Boolean(isJidBroadcast(jid) || isJidNewsletter(jid)),
    // With previews, this machine would open the addresses in outgoing texts.
    generateHighQualityLinkPreview: false,
    getMessage: async ({ id }) => {
      const sent = store.findSent(id ?? '');
      return sent && proto.Message.decode(sent);
    },
    // Without it, every message to a group asks the server for its members.
    cachedGroupMetadata: (jid) => {
      const group = groups.get(jid) ?? socket.groupMetadata(jid);
      if (groups.size >= groupsCachedMax) groups.clear();
      groups.set(jid, group);
      group.catch(() => groups.delete(jid));
      return group;
    },
    makeSignalRepository: journallingRepository(deps, auth, stanzas),
  });
  // Runs before Baileys' own listener, which decrypts.
  socket.ws.prependListener('CB:message', (stanza: BinaryNode) => {
    for (const part of Array.isArray(stanza.content) ? stanza.content : [])
      if (part.tag === 'enc' && typeof part.content === 'object') stanzas.set(part.content, stanza);
  });
  socket.ev.on('creds.update', (changes) => {
    Object.assign(auth.creds, changes);
    auth.save();
  });
  socket.ev.on('groups.update', (changes) => {
    for (const { id } of changes) groups.delete(id ?? '');
  });
  socket.ev.on('group-participants.update', ({ id }) => groups.delete(id));
  return socket;
}

type MakeRepository = SocketConfig['makeSignalRepository'];

/**
 * Two workarounds in one place, both through a public option:
 *
 * - Baileys sends and receives under different locks on the same sessions, and loses messages when
 *   both happen at once. With a transaction of its own over the keys, the repository locks by the
 *   other party. Remove when sending and receiving share a lock.
 * - Baileys sends the delivery receipt before anybody has stored the message. So the message joins
 *   the transaction that advances the session's ratchet: a crash keeps both or neither, and the
 *   server resends what has no receipt. A resent message that was stored cannot be decrypted again;
 *   it counts as empty, so that its receipt is sent now. Remove when there is a hook before the
 *   receipt.
 */
function journallingRepository(
  deps: SocketDependencies,
  { creds, keys: { get, set } }: AuthenticationState,
  stanzas: WeakMap<object, BinaryNode>,
): MakeRepository {
  const { store } = deps;
  return (signalAuth, logger, numberToLid) => {
    let hasFailed = false;
    const strictSet: typeof set = async (changes) => {
      try {
        await set(changes);
      } catch (error) {
        // Baileys would acknowledge the message as undecryptable, and the server would drop it.
        hasFailed = true;
        deps.storeFailed(error instanceof Error ? error : new Error(String(error)));
        throw error;
      }
    };
    const keys = addTransactionCapability({ get, set: strictSet }, logger, transactionOptions);
    const repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(
      { creds: signalAuth.creds, keys },
      logger,
      numberToLid,
    );
    const wasReceived = (stanza: BinaryNode) => store.wasReceived(nameOf(stanza));
    const journal = async (plain: Uint8Array, stanza: BinaryNode) => {
      const me = creds.me;
      const message = me && messageOf(stanza, plain, me.id, me.lid ?? '');
      if (!message || !deps.isKept(message)) return undefined;
      const row: Arrival = {
        message: proto.WebMessageInfo.encode(message).finish(),
        wasOffline: stanza.attrs.offline !== undefined,
        receivedAtMs: deps.clock.now(),
      };
      await keys.set({ [inboxType]: { [nameOf(stanza)]: row } } as SignalDataSet);
      return message;
    };
    const journalled = async (
      decrypt: () => Promise<Uint8Array>,
      ciphertext: Uint8Array,
      lock: string,
    ) => {
      const stanza = stanzas.get(ciphertext);
      let message: WAMessage | undefined;
      const work = async () => {
        const plain = await decrypt();
        message = stanza && (await journal(plain, stanza));
        return plain;
      };
      const plain = await keys.transaction(work, lock).catch((error) => {
        // The server resends it on the next connection. This one has ended and must report nothing.
        if (hasFailed) return new Promise<never>(() => {});
        if (stanza && wasReceived(stanza)) return emptyMessage;
        throw error;
      });
      if (message) deps.kept(message);
      return plain;
    };
    return {
      ...repository,
      decryptMessage: (options) =>
        journalled(() => repository.decryptMessage(options), options.ciphertext, options.jid),
      decryptGroupMessage: (options) =>
        journalled(() => repository.decryptGroupMessage(options), options.msg, options.group),
    };
  };
}

function nameOf({ attrs: { from, participant, id } }: BinaryNode): string {
  return [from, participant, id].join();
}

/** Undefined for what devices send each other: keys, history, settings. */
function messageOf(
  stanza: BinaryNode,
  plain: Uint8Array,
  meId: string,
  meLid: string,
): WAMessage | undefined {
  if (stanza.attrs.category === 'peer') return undefined;
  const decoded = proto.Message.decode(unpadRandomMax16(plain));
  const message = decoded.deviceSentMessage?.message ?? decoded;
  if (!isForPeople(message)) return undefined;
  return { ...decodeMessageNode(stanza, meId, meLid).fullMessage, message };
}

function isForPeople(message: proto.IMessage): boolean {
  const change = normalizeMessageContent(message)?.protocolMessage;
  const { REVOKE, MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type;
  if (change) return change.type === REVOKE || change.type === MESSAGE_EDIT;
  // Content of an unknown type is for people too.
  return !message.senderKeyDistributionMessage || getContentType(message) !== undefined;
}
