/** The account, its linked device as the server knows it, and the nodes that carry their keys. */
import { Curve, generateSignalPubKey, jidDecode } from 'baileys';
import { type BinaryNode, bigEndian, node, numberHost } from './nodes.ts';

export interface PreKey {
  keyId: number;
  publicKey: Uint8Array;
}

/** The product as the linked device of the account. */
export interface Companion {
  device: number;
  noiseKey: Buffer;
  identity: Buffer;
  jid: string;
  lid: string;
  registrationId: number;
  signedPreKey: PreKey & { signature: Uint8Array };
  preKeys: PreKey[];
  /** The device's signed identity. The device signs it too when it accepts the link. */
  advDetails: Uint8Array;
  isRemoved: boolean;
  hasHistory: boolean;
}

/** The keys that the sender of a first message needs. Uses up one pre-key. */
export function takeBundle(companion: Companion) {
  const preKey = companion.preKeys.shift();
  const { registrationId, identity, signedPreKey } = companion;
  return {
    registrationId,
    identityKey: generateSignalPubKey(identity),
    signedPreKey: { ...signedPreKey, publicKey: generateSignalPubKey(signedPreKey.publicKey) },
    ...(preKey && {
      preKey: { keyId: preKey.keyId, publicKey: generateSignalPubKey(preKey.publicKey) },
    }),
  };
}

/** The same keys as a node, because a device asks for its own keys in groups. */
export function bundleNode(companion: Companion, jid: string): BinaryNode {
  const preKey = companion.preKeys.shift();
  const { registrationId, identity, signedPreKey } = companion;
  return node('user', { jid }, [
    ...identityNodes(registrationId, identity),
    signedKeyNode(signedPreKey.keyId, signedPreKey.publicKey, signedPreKey.signature),
    ...(preKey ? [keyNode(preKey.keyId, preKey.publicKey)] : []),
  ]);
}

export function identityNodes(registrationId: number, identity: Uint8Array): BinaryNode[] {
  return [
    node('registration', {}, bigEndian(registrationId)),
    node('type', {}, Buffer.from([5])),
    node('identity', {}, identity),
  ];
}

export function keyNode(keyId: number, publicKey: Uint8Array): BinaryNode {
  return node('key', {}, [node('id', {}, bigEndian(keyId, 3)), node('value', {}, publicKey)]);
}

export function signedKeyNode(
  keyId: number,
  publicKey: Uint8Array,
  signature: Uint8Array,
): BinaryNode {
  const key = keyNode(keyId, publicKey).content;
  const parts = Array.isArray(key) ? key : [];
  return node('skey', {}, [...parts, node('signature', {}, signature)]);
}

export interface Person {
  number: string;
  lid: string;
  name: string;
}

export function addressesOf({ number, lid }: Person): { pn: string; lid: string } {
  return { pn: `${number}@${numberHost}`, lid: `${lid}@lid` };
}

export function isAddressOf(person: Person, jid: string): boolean {
  const decoded = jidDecode(jid);
  if (!decoded) return false;
  return decoded.user === (decoded.server === 'lid' ? person.lid : person.number);
}

export function newIdentity() {
  return Curve.generateKeyPair();
}
