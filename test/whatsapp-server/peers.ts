/**
 * Simulated people, each with one phone and real Signal sessions. A phone encrypts its messages to
 * the linked device, decrypts the device's messages, and asks again for those that it cannot read.
 */
import { readFileSync, rmSync } from 'node:fs';
import { Curve, encryptedStream, generateMessageIDV2, type MediaType, type proto } from 'baileys';
import { addressesOf, type Companion, type Person } from './account.ts';
import { type Heard, hear, type MediaContent, stanzaType, type UploadedFile } from './contents.ts';
import type { MediaHost } from './media-host.ts';
import { type BinaryNode, bigEndian, child, damage, node } from './nodes.ts';
import { PhoneKeys } from './phone-keys.ts';
import { Refusal } from './refusal.ts';

/** What a person uses of the server. */
export interface Network {
  media: MediaHost;
  /** Throws when no device is linked. */
  companion(): Companion;
  now(): string;
  /** Stores the stanza until the client confirms it. */
  deliver(stanza: BinaryNode): void;
  /** Sends the stanza only if a client is connected. */
  push(stanza: BinaryNode): void;
  /** Whether the client is to be told who types in the chat with one of these addresses. */
  watches(jids: string[]): boolean;
  /** Called when a person has received a message, a receipt or a state of typing. */
  changed(): void;
}

export interface HeardMessage extends Heard {
  id: string;
  /** The group's address, or null for a direct chat. */
  group: string | null;
  /** How often it was delivered. A repetition is not shown again, as on a phone. */
  deliveries: number;
  atMs: number;
}

export interface SendOptions {
  id?: string;
  /** Which address names the sender: `lid` today, `pn` in the past. */
  via?: 'lid' | 'pn';
  /** Cannot be decrypted the first time. */
  isCorrupt?: boolean;
  /** The stanza's `edit` attribute. */
  edit?: string;
}

interface Said {
  message: proto.IMessage;
  group: string | null;
  options: SendOptions;
}

export class Peer implements Person {
  readonly number: string;
  readonly lid: string;
  readonly name: string;
  readonly heard: HeardMessage[] = [];
  readonly receipts: { id: string; type: string }[] = [];
  readonly presences: { state: string; group: string | null; atMs: number }[] = [];
  /** The number of messages that this phone could not read and asked for again. */
  retriesAsked = 0;
  /** The number of messages of this person that the client asked for again. */
  retriesHeard = 0;
  readonly #network: Network;
  readonly #keys: PhoneKeys;
  readonly #said = new Map<string, Said>();
  /** Messages are processed one at a time, because they share one ratchet. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(network: Network, { number, lid, name }: Person, identity = Curve.generateKeyPair()) {
    this.#network = network;
    this.number = number;
    this.lid = lid;
    this.name = name;
    this.#keys = new PhoneKeys(this, identity);
  }

  get addresses(): { pn: string; lid: string } {
    return addressesOf(this);
  }

  /** The keys that the server gives to whoever writes to this phone for the first time. */
  async bundle(jid: string): Promise<BinaryNode> {
    return node('user', { jid, t: this.#network.now() }, await this.#keys.bundle());
  }

  /** Sends a message in the direct chat or in a group. Resolves to its id. */
  say(message: proto.IMessage, group: string | null, options: SendOptions = {}): Promise<string> {
    return this.#inTurn(async () => {
      const id = options.id ?? generateMessageIDV2(this.addresses.pn);
      this.#said.set(id, { message, group, options });
      const parts = await this.#encrypt(message, group);
      if (options.isCorrupt) for (const part of parts) damage(part);
      this.#network.deliver(this.#stanza(id, message, group, options, parts));
      return id;
    });
  }

  /** Sends the linked device a copy of what the account's own phone writes to the address `to`. */
  sayFromPhone(message: proto.IMessage, to: string): Promise<string> {
    return this.#inTurn(async () => {
      const { pn, lid } = this.addresses;
      const id = generateMessageIDV2(pn);
      const sent = { deviceSentMessage: { destinationJid: to, message } };
      const copy = await this.#keys.encrypt(sent, this.#network.companion());
      const attrs = { id, from: lid, recipient: to, sender_pn: pn, notify: this.name };
      const type = stanzaType(message);
      this.#network.deliver(node('message', { ...attrs, type, t: this.#network.now() }, [copy]));
      return id;
    });
  }

  /** Sends a message from device to device, such as history. It is not stored. */
  async tellDevice(message: proto.IMessage): Promise<void> {
    const { pn, lid } = this.addresses;
    const part = await this.#keys.encrypt(message, this.#network.companion());
    const attrs = { id: generateMessageIDV2(pn), from: pn, sender_lid: lid, category: 'peer' };
    this.#network.push(node('message', { ...attrs, type: 'text', t: this.#network.now() }, [part]));
  }

  showTyping(group: string | null, state: 'composing' | 'paused'): void {
    const { pn, lid } = this.addresses;
    if (this.#network.watches(group ? [group] : [pn, lid]))
      this.#network.push(node('chatstate', this.#from(group), [node(state)]));
  }

  /** Marks a message from the client as read. */
  read(id: string): void {
    const heard = this.heard.find((each) => each.id === id);
    if (!heard) throw new Refusal(`${this.name} has heard no message ${id}`);
    this.#receipt(id, heard.group, 'read');
  }

  /** Receives a message from the client. */
  receive(stanza: BinaryNode, parts: BinaryNode[]): Promise<void> {
    return this.#inTurn(async () => {
      const { id = '', to = '' } = stanza.attrs;
      const group = to.endsWith('@g.us') ? to : null;
      try {
        for (const part of parts) await this.#read(id, group, part);
      } catch {
        // A phone gives no reason; it asks for the message again.
        this.retriesAsked += 1;
        await this.#askAgain(id, group);
      }
      this.#network.changed();
    });
  }

  /** Sends a message again, in a new session, because the client could not read it. */
  async repeat(id: string): Promise<void> {
    this.retriesHeard += 1;
    const said = this.#said.get(id);
    if (!said) return;
    await this.#keys.forget(this.#network.companion());
    const { isCorrupt: _, ...options } = said.options;
    await this.say(said.message, said.group, { ...options, id });
  }

  find(id: string): proto.IMessage | undefined {
    return this.#said.get(id)?.message;
  }

  async upload({ kind, base64 }: MediaContent): Promise<UploadedFile> {
    const type: MediaType = kind === 'voice' ? 'audio' : kind;
    const bytes = Buffer.from(base64, 'base64');
    const { encFilePath, mediaKey, fileSha256, fileEncSha256, fileLength } = await encryptedStream(
      bytes,
      type,
      {},
    );
    const directPath = this.#network.media.put(readFileSync(encFilePath));
    rmSync(encFilePath);
    const url = this.#network.media.url(directPath);
    return { url, directPath, mediaKey, fileSha256, fileEncSha256, fileLength };
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async #encrypt(message: proto.IMessage, group: string | null): Promise<BinaryNode[]> {
    const companion = this.#network.companion();
    if (group) return this.#keys.encryptForGroup(message, group, companion);
    return [await this.#keys.encrypt(message, companion)];
  }

  #stanza(
    id: string,
    message: proto.IMessage,
    group: string | null,
    { via = 'lid', edit }: SendOptions,
    parts: BinaryNode[],
  ): BinaryNode {
    const { pn, lid } = this.addresses;
    const direct =
      via === 'lid'
        ? { from: lid, sender_pn: pn, addressing_mode: 'lid' }
        : { from: pn, sender_lid: lid, addressing_mode: 'pn' };
    const sender = group
      ? { from: group, participant: lid, participant_pn: pn, addressing_mode: 'lid' }
      : direct;
    const attrs = { id, t: this.#network.now(), type: stanzaType(message), notify: this.name };
    return node('message', { ...attrs, ...sender, ...(edit !== undefined && { edit }) }, parts);
  }

  async #read(id: string, group: string | null, part: BinaryNode): Promise<void> {
    const message = await this.#keys.decrypt(part, group, this.#network.companion());
    if (message) await this.#keep(id, group, message);
  }

  async #keep(id: string, group: string | null, message: proto.IMessage): Promise<void> {
    const known = this.heard.find((heard) => heard.id === id);
    if (known) {
      known.deliveries += 1;
      return;
    }
    const content = message.deviceSentMessage?.message ?? message;
    const heard = await hear(content, this.#network.media);
    this.heard.push({ ...heard, id, group, deliveries: 1, atMs: Date.now() });
    // Phones confirm the delivery.
    this.#receipt(id, group);
  }

  #receipt(id: string, group: string | null, type?: string, content?: BinaryNode[]): void {
    const attrs = { id, t: this.#network.now(), ...this.#from(group) };
    this.#network.push(node('receipt', type === undefined ? attrs : { ...attrs, type }, content));
  }

  #from(group: string | null): Record<string, string> {
    const { lid } = this.addresses;
    return group ? { from: group, participant: lid } : { from: lid };
  }

  async #askAgain(id: string, group: string | null): Promise<void> {
    const { lid } = this.addresses;
    const keys = await this.bundle(lid);
    const parts = ['type', 'identity', 'key', 'skey'].flatMap((tag) => child(keys, tag) ?? []);
    this.#receipt(id, group, 'retry', [
      node('retry', { count: '1', id, t: this.#network.now(), v: '1' }),
      node('registration', {}, bigEndian(this.#keys.registrationId)),
      node('keys', {}, parts),
    ]);
  }
}
