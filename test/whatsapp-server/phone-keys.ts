/**
 * The keys of one phone and its Signal sessions with the linked device. It encrypts and decrypts,
 * and sends nothing.
 */
import {
  addTransactionCapability,
  Curve,
  DEFAULT_CONNECTION_CONFIG,
  encodeWAMessage,
  generateSignalPubKey,
  initAuthCreds,
  type KeyPair,
  proto,
  unpadRandomMax16,
} from 'baileys';
import { pino } from 'pino';
import {
  addressesOf,
  type Companion,
  identityNodes,
  keyNode,
  type Person,
  signedKeyNode,
  takeBundle,
} from './account.ts';
import { memoryKeys } from './memory-keys.ts';
import { type BinaryNode, node } from './nodes.ts';

const silent = pino({ level: 'silent' });
const transactionOptions = { maxCommitRetries: 1, delayBetweenTriesMs: 1 };

export class PhoneKeys {
  readonly #creds = initAuthCreds();
  readonly #lid: string;
  readonly #keys: ReturnType<typeof addTransactionCapability>;
  readonly #signal: ReturnType<typeof DEFAULT_CONNECTION_CONFIG.makeSignalRepository>;
  /** Pairs of a group and a device that has this phone's key for the group. */
  readonly #groupsKeyed = new Set<string>();
  #nextPreKey = 1;

  constructor(person: Person, identity: KeyPair) {
    const { pn, lid } = addressesOf(person);
    this.#lid = lid;
    const keyPair = Curve.generateKeyPair();
    const signature = Curve.sign(identity.private, generateSignalPubKey(keyPair.public));
    const creds = Object.assign(this.#creds, {
      signedIdentityKey: identity,
      signedPreKey: { keyPair, keyId: 1, signature },
      me: { id: pn, lid },
    });
    this.#keys = addTransactionCapability(memoryKeys(), silent, transactionOptions);
    this.#signal = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(
      { creds, keys: this.#keys },
      silent,
      async () => [],
    );
  }

  get registrationId(): number {
    return this.#creds.registrationId;
  }

  /** The keys for a first message to this phone, with a new pre-key each time. */
  async bundle(): Promise<BinaryNode[]> {
    const keyId = this.#nextPreKey;
    this.#nextPreKey += 1;
    const keyPair = Curve.generateKeyPair();
    await this.#keys.set({ 'pre-key': { [keyId]: keyPair } });
    const { signedPreKey, registrationId, signedIdentityKey } = this.#creds;
    return [
      ...identityNodes(registrationId, signedIdentityKey.public),
      signedKeyNode(signedPreKey.keyId, signedPreKey.keyPair.public, signedPreKey.signature),
      keyNode(keyId, keyPair.public),
    ];
  }

  async encrypt(message: proto.IMessage, companion: Companion): Promise<BinaryNode> {
    const { lid: jid } = companion;
    if (!(await this.#signal.validateSession(jid)).exists)
      await this.#signal.injectE2ESession({ jid, session: takeBundle(companion) });
    const data = encodeWAMessage(message);
    const { type, ciphertext } = await this.#signal.encryptMessage({ jid, data });
    return node('enc', { v: '2', type }, ciphertext);
  }

  /** The first message in a group comes with the key that the device needs to read it. */
  async encryptForGroup(
    message: proto.IMessage,
    group: string,
    companion: Companion,
  ): Promise<BinaryNode[]> {
    const { ciphertext, senderKeyDistributionMessage } = await this.#signal.encryptGroupMessage({
      group,
      meId: this.#lid,
      data: encodeWAMessage(message),
    });
    const parts = [node('enc', { v: '2', type: 'skmsg' }, ciphertext)];
    const keyed = `${group} ${companion.lid}`;
    if (this.#groupsKeyed.has(keyed)) return parts;
    this.#groupsKeyed.add(keyed);
    const key = {
      groupId: group,
      axolotlSenderKeyDistributionMessage: senderKeyDistributionMessage,
    };
    return [await this.encrypt({ senderKeyDistributionMessage: key }, companion), ...parts];
  }

  /** Undefined for a part that holds only a key. Throws when it cannot be decrypted. */
  async decrypt(
    { attrs: { type }, content: ciphertext }: BinaryNode,
    group: string | null,
    companion: Companion,
  ): Promise<proto.IMessage | undefined> {
    if (!(ciphertext instanceof Uint8Array)) return undefined;
    const { lid: sender } = companion;
    const plain =
      type === 'skmsg'
        ? await this.#signal.decryptGroupMessage({
            group: group ?? '',
            authorJid: sender,
            msg: ciphertext,
          })
        : await this.#signal.decryptMessage({
            jid: sender,
            type: type === 'pkmsg' ? 'pkmsg' : 'msg',
            ciphertext,
          });
    const message = proto.Message.decode(unpadRandomMax16(plain));
    const { senderKeyDistributionMessage: key, messageContextInfo: _, ...rest } = message;
    if (key)
      await this.#signal.processSenderKeyDistributionMessage({ authorJid: sender, item: key });
    return Object.values(rest).some((value) => value != null) ? message : undefined;
  }

  /** The next message begins a new session. */
  async forget(companion: Companion): Promise<void> {
    const address = this.#signal.jidToSignalProtocolAddress(companion.lid);
    await this.#keys.set({ session: { [address]: null } });
    this.#groupsKeyed.clear();
  }
}
