/**
 * The server: one account with at most one linked device, the people it talks to, and the messages
 * between them. It speaks to the client through `ClientConnection`; `control.ts` tells it what to
 * do.
 */
import { EventEmitter, once } from 'node:events';
import { jidDecode, type proto } from 'baileys';
import { type Companion, isAddressOf, newIdentity, type Person } from './account.ts';
import type { ClientConnection, Login } from './connection.ts';
import { ExpiredMedia } from './expired-media.ts';
import { Faults } from './faults.ts';
import type { Group } from './groups.ts';
import { historyMessage, type PastMessage } from './history.ts';
import { MediaHost } from './media-host.ts';
import { type BinaryNode, child, children, damage, firstChild, node, serverJid } from './nodes.ts';
import { Pairing } from './pairing.ts';
import { Peer } from './peers.ts';
import { type Answer, answer } from './queries.ts';
import { Refusal } from './refusal.ts';
import { Mailbox } from './store-and-forward.ts';

export class WhatsAppWorld {
  readonly faults = new Faults();
  readonly mailbox = new Mailbox(this.faults);
  readonly media: MediaHost;
  readonly expiredMedia: ExpiredMedia;
  /** The account's own phone. */
  readonly owner: Peer;
  readonly peers: Peer[] = [];
  readonly groups = new Map<string, Group>();
  /** Messages from before the link. */
  readonly past: PastMessage[] = [];
  companion: Companion | null = null;
  client: ClientConnection | null = null;
  logins = 0;
  attempts = 0;
  /** The number of wrong pairing codes. */
  wrongCodes = 0;
  /** The number of messages that the client has asked for again. */
  retryReceipts = 0;
  /** The number of queries that got no answer because of `mutedQueries`. */
  unanswered = 0;
  /** The number of messages that the client has confirmed with an error. */
  nacks = 0;
  readonly #pairing: Pairing;
  readonly #changes = new EventEmitter<{ change: [] }>().setMaxListeners(1000);
  #notifications = 0;

  constructor(tls: { key: string; cert: string }, account: Person) {
    this.media = new MediaHost(tls, this.faults, () => this.changed());
    this.expiredMedia = new ExpiredMedia(this.media, this.faults, (id) => this.#find(id));
    const identity = newIdentity();
    this.owner = this.addPeer(account, identity);
    this.#pairing = new Pairing(account, identity, this.faults);
  }

  addPeer(person: Person, identity = newIdentity()): Peer {
    const network = {
      media: this.media,
      companion: () => this.linked(),
      now: () => this.faults.now(),
      deliver: (stanza: BinaryNode) => this.mailbox.put(stanza, this.client),
      push: (stanza: BinaryNode) => this.client?.isReady && this.client.send(stanza),
      watches: (jids: string[]) =>
        Boolean(this.client?.isAvailable && jids.some((jid) => this.client?.watched.has(jid))),
      changed: () => this.changed(),
    };
    const peer = new Peer(network, person, identity);
    this.peers.push(peer);
    return peer;
  }

  /** Throws when no device is linked. */
  linked(): Companion {
    if (!this.companion) throw new Refusal('no device is linked');
    return this.companion;
  }

  findPeer(jid: string): Peer | undefined {
    return this.peers.find((peer) => isAddressOf(peer, jid));
  }

  /** Throws a Refusal when nobody has this number. */
  person(number: string): Peer {
    const peer = this.peers.find((candidate) => candidate.number === number);
    if (!peer) throw new Refusal(`nobody has the number ${number}`);
    return peer;
  }

  isCompanion(jid: string): boolean {
    return (
      this.findPeer(jid) === this.owner && (jidDecode(jid)?.device ?? 0) === this.companion?.device
    );
  }

  changed(): void {
    this.#changes.emit('change');
  }

  /**
   * Resolves to what `look` returns as soon as that is not undefined. Rejects after `timeoutMs`.
   */
  async until<Found>(look: () => Found | undefined, timeoutMs: number): Promise<Found> {
    const signal = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      await once(this.#changes, 'change', { signal });
    }
  }

  scan(qr: string): void {
    this.companion = this.#pairing.scan(qr);
    this.changed();
  }

  get isCodeRequested(): boolean {
    return this.#pairing.isCodeRequested;
  }

  enterCode(code: string): Promise<void> {
    return this.#pairing.enterCode(code);
  }

  requestCode(operation: BinaryNode): BinaryNode {
    const answer = this.#pairing.requestCode(operation);
    setImmediate(() => this.changed());
    return answer;
  }

  /** Checks the client's proof. After a wrong code the client waits for another one. */
  finishCode(operation: BinaryNode): Answer {
    try {
      this.companion = this.#pairing.finishCode(operation);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.wrongCodes += 1;
      return { error: 403 };
    }
    this.changed();
    return undefined;
  }

  unlinkFromPhone(): void {
    this.linked().isRemoved = true;
    this.client?.endWith(401, node('conflict', { type: 'device_removed' }));
    this.changed();
  }

  /** Notifies the client of a change in a group. */
  notify(notification: (ids: { id: string; t: string }) => BinaryNode): void {
    this.#notifications += 1;
    const ids = { id: `notification-${this.#notifications}`, t: this.faults.now() };
    this.mailbox.put(notification(ids), this.client);
  }

  loggingIn(client: ClientConnection, login: Login): void {
    const { loginFailure } = this.faults;
    if (loginFailure !== null) client.refuse(loginFailure);
    else if (login.payload.devicePairingData) {
      this.client = client;
      this.#pairing.begin(client, login);
    } else this.#logIn(client, login);
    this.changed();
  }

  #logIn(client: ClientConnection, { payload, clientStatic }: Login): void {
    const { companion } = this;
    const isKnown =
      companion &&
      !companion.isRemoved &&
      Number(payload.username) === Number(this.owner.number) &&
      clientStatic.equals(companion.noiseKey);
    if (!isKnown) {
      client.refuse(401);
      return;
    }
    // Of two clients with the same keys, the later one stays.
    if (this.client?.isOpen) this.client.endWith(null, node('conflict', { type: 'replaced' }));
    this.client = client;
    this.logins += 1;
    const attrs = { t: this.faults.now(), props: '27', companion_enc_static: 'x', location: 'frc' };
    client.send(node('success', { ...attrs, lid: companion.lid }));
  }

  closed(client: ClientConnection): void {
    if (this.client === client) this.client = null;
    this.changed();
  }

  async received(client: ClientConnection, stanza: BinaryNode): Promise<void> {
    const { tag, attrs } = stanza;
    if (tag === 'iq') await this.#answer(client, stanza);
    else if (tag === 'message') this.#takeMessage(client, stanza);
    else if (tag === 'receipt') await this.#takeReceipt(client, stanza);
    else if (tag === 'ack') this.#confirm(stanza);
    else if (tag === 'chatstate') this.#notePresence(stanza);
    else if (tag === 'presence' && attrs.type === 'subscribe') client.watched.add(attrs.to ?? '');
    else if (tag === 'presence' && attrs.type) client.isAvailable = attrs.type === 'available';
    if (tag === 'ack' && attrs.class === 'message' && attrs.error) this.nacks += 1;
    this.changed();
  }

  #confirm({ attrs }: BinaryNode): void {
    if (attrs.class === 'message' || attrs.class === 'notification')
      this.mailbox.confirm(attrs.id ?? '');
  }

  async #answer(client: ClientConnection, iq: BinaryNode): Promise<void> {
    const { id = '', to = serverJid, type, xmlns } = iq.attrs;
    const operation = firstChild(iq);
    if (type === 'result') {
      // The device has signed: it must reconnect, now with its account.
      if (operation?.tag === 'pair-device-sign') setTimeout(() => client.endWith(515), 30);
      return;
    }
    const result = await answer(this, iq);
    if (result === null) return;
    if (result && 'error' in result) {
      const error = node('error', { code: String(result.error), text: 'item-not-found' });
      client.send(node('iq', { from: to, type: 'error', id }, [error]));
    } else client.send(node('iq', { from: to, type: 'result', id }, result));
    if (xmlns === 'passive' && operation?.tag === 'active') await this.#becomeActive(client);
  }

  async #becomeActive(client: ClientConnection): Promise<void> {
    this.mailbox.flush(client);
    this.changed();
    const companion = this.linked();
    if (companion.hasHistory) return;
    companion.hasHistory = true;
    await this.owner.tellDevice(historyMessage(this.peers, this.past));
  }

  /** Acknowledges a message from the client, then gives each recipient its parts. */
  #takeMessage(client: ClientConnection, stanza: BinaryNode): void {
    const { id = '', to = '' } = stanza.attrs;
    const ack = { class: 'message', id, from: to, t: this.faults.now() };
    const isRejected = to === this.faults.rejectedGroup;
    const rejection = isRejected ? 463 : this.faults.rejections.shift();
    const sendAck = (more: Record<string, string>) =>
      setTimeout(() => client.send(node('ack', { ...ack, ...more })), this.faults.nextAckDelayMs());
    if (rejection !== undefined) {
      sendAck({ error: String(rejection) });
      return;
    }
    if (this.faults.swallowedAcks > 0) this.faults.swallowedAcks -= 1;
    else sendAck({});
    const addressees = this.#addressees(stanza);
    if (this.faults.damaged > 0) {
      this.faults.damaged -= 1;
      for (const part of new Set([...addressees.values()].flat())) damage(part);
    }
    for (const [peer, parts] of addressees) void peer.receive(stanza, parts);
  }

  #addressees(stanza: BinaryNode): Map<Peer, BinaryNode[]> {
    const { to = '' } = stanza.attrs;
    const parts = new Map<Peer, BinaryNode[]>();
    const add = (peer: Peer | undefined, more: BinaryNode[]) => {
      if (peer && more.length > 0) parts.set(peer, [...(parts.get(peer) ?? []), ...more]);
    };
    for (const device of children(child(stanza, 'participants'), 'to')) {
      const jid = device.attrs.jid ?? '';
      if (!this.isCompanion(jid)) add(this.findPeer(jid), children(device, 'enc'));
    }
    const shared = children(stanza, 'enc');
    const group = this.groups.get(to);
    if (group) for (const member of group.members) add(member, shared);
    else add(this.findPeer(to), shared);
    return parts;
  }

  async #takeReceipt(client: ClientConnection, stanza: BinaryNode): Promise<void> {
    const { id = '', to = '', type, participant } = stanza.attrs;
    const more = children(child(stanza, 'list'), 'item').map(({ attrs }) => attrs.id ?? '');
    const ids = [id, ...more];
    const peer = this.findPeer(participant ?? to);
    // A retry receipt confirms nothing: the client confirms what it could not read by an ack.
    if (type !== 'retry') for (const confirmed of ids) this.mailbox.confirm(confirmed);
    peer?.receipts.push(...ids.map((each) => ({ id: each, type: type ?? 'delivery' })));
    const ack = { class: 'receipt', id, from: to, ...(type !== undefined && { type }) };
    client.send(node('ack', ack));
    if (type === 'server-error') {
      const answer = this.expiredMedia.answer(stanza, this.owner.addresses.pn);
      if (answer) client.send(answer);
    }
    if (type !== 'retry') return;
    this.retryReceipts += 1;
    await peer?.repeat(id);
  }

  #notePresence(stanza: BinaryNode): void {
    const { to = '' } = stanza.attrs;
    const state = firstChild(stanza)?.tag ?? '';
    const group = this.groups.get(to);
    const peers = group ? group.members : [this.findPeer(to)];
    for (const peer of peers)
      peer?.presences.push({ state, group: group?.jid ?? null, atMs: Date.now() });
  }

  /** Looks for the message among all people. */
  #find(id: string): proto.IMessage | undefined {
    return this.peers.map((peer) => peer.find(id)).find(Boolean);
  }
}
