/** How a device is linked: by a QR code that is scanned, or by a code that a person types. */
import { randomBytes } from 'node:crypto';
import {
  aesDecryptCTR,
  aesDecryptGCM,
  aesEncryptCTR,
  Curve,
  derivePairingCodeKey,
  hkdf,
  hmacSign,
  type KeyPair,
  proto,
} from 'baileys';
import type { Companion, Person } from './account.ts';
import type { ClientConnection, Login } from './connection.ts';
import type { Faults } from './faults.ts';
import { type BinaryNode, childBytes, node, numberHost, serverJid } from './nodes.ts';
import { Refusal } from './refusal.ts';

const empty = Buffer.alloc(0);
const qrRefs = 6;

interface Registration {
  connection: ClientConnection;
  login: Login;
}

interface CodeRequest {
  ref: Buffer;
  wrapped: Buffer;
  noiseKey: Buffer;
  shared: Uint8Array;
}

interface DeviceKeys {
  noiseKey: Buffer;
  identity: Buffer;
  advSecret: Buffer;
}

export class Pairing {
  readonly #owner: Person;
  readonly #accountIdentity: KeyPair;
  readonly #faults: Faults;
  #registration: Registration | undefined;
  #code: CodeRequest | undefined;
  #devices = 6;

  constructor(owner: Person, accountIdentity: KeyPair, faults: Faults) {
    this.#owner = owner;
    this.#accountIdentity = accountIdentity;
    this.#faults = faults;
  }

  get isCodeRequested(): boolean {
    return this.#code !== undefined;
  }

  /** Sends a client without an account the references for its QR codes. */
  begin(connection: ClientConnection, login: Login): void {
    this.#registration = { connection, login };
    this.#code = undefined;
    const refs = Array.from({ length: qrRefs }, () =>
      node('ref', {}, Buffer.from(`2@${randomBytes(24).toString('base64')}`)),
    );
    connection.send(this.#request('pair', [node('pair-device', {}, refs)]));
  }

  /** The phone scans a QR code. Throws a Refusal when it is not the waiting client's. */
  scan(qr: string): Companion {
    const [, noise = '', identity = '', secret = ''] = qr.replace(/^.*#/, '').split(',');
    return this.#pair({
      noiseKey: Buffer.from(noise, 'base64'),
      identity: Buffer.from(identity, 'base64'),
      advSecret: Buffer.from(secret, 'base64'),
    });
  }

  /** Answers the client's request for a pairing code. */
  requestCode(operation: BinaryNode): BinaryNode {
    const ref = randomBytes(8);
    this.#code = {
      ref,
      wrapped: childBytes(operation, 'link_code_pairing_wrapped_companion_ephemeral_pub'),
      noiseKey: childBytes(operation, 'companion_server_auth_key_pub'),
      shared: empty,
    };
    return node('link_code_companion_reg', {}, [node('link_code_pairing_ref', {}, ref)]);
  }

  /** A person types the code on the phone. Whether it is right shows when the client answers. */
  async enterCode(code: string): Promise<void> {
    const request = this.#requestedCode();
    const { wrapped } = request;
    const key = await derivePairingCodeKey(code, wrapped.subarray(0, 32));
    const companionKey = aesDecryptCTR(wrapped.subarray(48), key, wrapped.subarray(32, 48));
    const ephemeral = Curve.generateKeyPair();
    const [salt, iv] = [randomBytes(32), randomBytes(16)];
    const ownKey = await derivePairingCodeKey(code, salt);
    const answer = Buffer.concat([salt, iv, aesEncryptCTR(ephemeral.public, ownKey, iv)]);
    request.shared = Curve.sharedKey(ephemeral.private, companionKey);
    this.#registration?.connection.send(
      node(
        'notification',
        { from: serverJid, id: 'code', t: this.#faults.now(), type: 'link_code_companion_reg' },
        [
          node('link_code_companion_reg', { stage: 'primary_hello' }, [
            node('link_code_pairing_ref', {}, request.ref),
            node('primary_identity_pub', {}, this.#accountIdentity.public),
            node('link_code_pairing_wrapped_primary_ephemeral_pub', {}, answer),
          ]),
        ],
      ),
    );
  }

  /** Takes the client's proof that it knows the code. Throws a Refusal when the code was wrong. */
  finishCode(operation: BinaryNode): Companion {
    const { noiseKey, shared } = this.#requestedCode();
    const wrapped = childBytes(operation, 'link_code_pairing_wrapped_key_bundle');
    const identity = childBytes(operation, 'companion_identity_public');
    const key = hkdf(shared, 32, {
      salt: wrapped.subarray(0, 32),
      info: 'link_code_pairing_key_bundle_encryption_key',
    });
    const bundle = openBundle(wrapped.subarray(32), key);
    const identityShared = Curve.sharedKey(this.#accountIdentity.private, identity);
    const secret = Buffer.concat([shared, identityShared, bundle.subarray(64)]);
    const advSecret = Buffer.from(hkdf(secret, 32, { info: 'adv_secret' }));
    return this.#pair({ noiseKey, identity, advSecret });
  }

  #requestedCode(): CodeRequest {
    if (!this.#code) throw new Refusal('no code was asked for');
    return this.#code;
  }

  #pair({ noiseKey, identity, advSecret }: DeviceKeys): Companion {
    const registration = this.#registration;
    const data = registration?.login.payload.devicePairingData;
    if (!registration || !data) throw new Refusal('no client waits to be linked');
    if (!identity.equals(Buffer.from(data.eIdent ?? empty)))
      throw new Refusal('this is not the waiting client');
    const details = proto.ADVDeviceIdentity.encode({
      rawId: 1,
      timestamp: Number(this.#faults.now()),
      keyIndex: 1,
      accountType: 0,
      deviceType: 0,
    }).finish();
    this.#devices += 1;
    const device = this.#devices;
    const companion: Companion = {
      device,
      noiseKey,
      identity,
      preKeys: [],
      isRemoved: false,
      hasHistory: false,
      jid: `${this.#owner.number}:${device}@${numberHost}`,
      lid: `${this.#owner.lid}:${device}@lid`,
      registrationId: Buffer.from(data.eRegid ?? empty).readUInt32BE(),
      signedPreKey: {
        keyId: Buffer.from(data.eSkeyId ?? empty).readUIntBE(0, 3),
        publicKey: Buffer.from(data.eSkeyVal ?? empty),
        signature: Buffer.from(data.eSkeySig ?? empty),
      },
      advDetails: details,
    };
    registration.connection.send(
      this.#request('paired', [
        node('pair-success', {}, [
          node('device-identity', {}, this.#signedIdentity(details, identity, advSecret)),
          node('device', { jid: companion.jid, lid: companion.lid }),
          ...(this.#faults.hidesName ? [] : [node('biz', { name: this.#owner.name })]),
          node('platform', { name: 'android' }),
        ]),
      ]),
    );
    return companion;
  }

  #signedIdentity(details: Uint8Array, identity: Buffer, secret: Buffer): Uint8Array {
    const signed = Buffer.concat([Buffer.from([6, 0]), details, identity]);
    const device = proto.ADVSignedDeviceIdentity.encode({
      details,
      accountSignatureKey: this.#accountIdentity.public,
      accountSignature: Curve.sign(this.#accountIdentity.private, signed),
    }).finish();
    return proto.ADVSignedDeviceIdentityHMAC.encode({
      details: device,
      hmac: hmacSign(device, secret),
    }).finish();
  }

  #request(id: string, content: BinaryNode[]): BinaryNode {
    const attrs = { from: serverJid, type: 'set', id, xmlns: 'md', t: this.#faults.now() };
    return node('iq', attrs, content);
  }
}

function openBundle(sealed: Buffer, key: Uint8Array): Buffer {
  try {
    return aesDecryptGCM(sealed.subarray(12), key, sealed.subarray(0, 12), empty);
  } catch (cause) {
    throw new Refusal('the code was wrong', { cause });
  }
}
