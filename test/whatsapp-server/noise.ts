/**
 * The server's side of Noise_XX_25519_AESGCM_SHA256 as WhatsApp uses it: three handshake messages,
 * then one key for each direction. https://noiseprotocol.org/noise.html
 */
import {
  aesDecryptGCM,
  aesEncryptGCM,
  Curve,
  hkdf,
  type KeyPair,
  NOISE_MODE,
  NOISE_WA_HEADER,
  proto,
  sha256,
} from 'baileys';

const empty = Buffer.alloc(0);

export class NoiseResponder {
  readonly #staticKey: KeyPair;
  readonly #certificate: Uint8Array;
  readonly #ephemeral = Curve.generateKeyPair();
  #hash: Buffer;
  #salt: Buffer;
  #key: Buffer;
  #counter = 0;
  #transport: { read: Buffer; write: Buffer; reads: number; writes: number } | undefined;

  constructor(staticKey: KeyPair, certificate: Uint8Array) {
    this.#staticKey = staticKey;
    this.#certificate = certificate;
    this.#hash = Buffer.from(NOISE_MODE);
    this.#salt = this.#hash;
    this.#key = this.#hash;
    this.#mixHash(NOISE_WA_HEADER);
  }

  /** Answers the client's hello. */
  hello(clientEphemeral: Uint8Array): Uint8Array {
    this.#mixHash(clientEphemeral);
    this.#mixHash(this.#ephemeral.public);
    this.#mixKey(Curve.sharedKey(this.#ephemeral.private, clientEphemeral));
    const encryptedStatic = this.#encrypt(this.#staticKey.public);
    this.#mixKey(Curve.sharedKey(this.#staticKey.private, clientEphemeral));
    return proto.HandshakeMessage.encode({
      serverHello: {
        ephemeral: this.#ephemeral.public,
        static: encryptedStatic,
        payload: this.#encrypt(this.#certificate),
      },
    }).finish();
  }

  /** Takes the client's last handshake message. `seal` and `open` work only after this. */
  finish(last: proto.HandshakeMessage.IClientFinish): {
    clientStatic: Buffer;
    payload: proto.ClientPayload;
  } {
    const clientStatic = this.#decrypt(last.static ?? empty);
    this.#mixKey(Curve.sharedKey(this.#ephemeral.private, clientStatic));
    const payload = proto.ClientPayload.decode(this.#decrypt(last.payload ?? empty));
    const keys = Buffer.from(hkdf(empty, 64, { salt: this.#salt, info: '' }));
    this.#transport = { read: keys.subarray(0, 32), write: keys.subarray(32), reads: 0, writes: 0 };
    return { clientStatic, payload };
  }

  seal(plain: Uint8Array): Buffer {
    const transport = this.#opened();
    const iv = counterIv(transport.writes);
    transport.writes += 1;
    return aesEncryptGCM(plain, transport.write, iv, empty);
  }

  open(sealed: Uint8Array): Buffer {
    const transport = this.#opened();
    const iv = counterIv(transport.reads);
    transport.reads += 1;
    return aesDecryptGCM(sealed, transport.read, iv, empty);
  }

  #opened() {
    if (!this.#transport) throw new Error('the handshake is not finished');
    return this.#transport;
  }

  #mixHash(data: Uint8Array): void {
    this.#hash = Buffer.from(sha256(Buffer.concat([this.#hash, data])));
  }

  #mixKey(data: Uint8Array): void {
    const keys = Buffer.from(hkdf(Buffer.from(data), 64, { salt: this.#salt, info: '' }));
    this.#salt = keys.subarray(0, 32);
    this.#key = keys.subarray(32);
    this.#counter = 0;
  }

  #encrypt(plain: Uint8Array): Buffer {
    const sealed = aesEncryptGCM(plain, this.#key, counterIv(this.#counter), this.#hash);
    this.#counter += 1;
    this.#mixHash(sealed);
    return sealed;
  }

  #decrypt(sealed: Uint8Array): Buffer {
    const plain = aesDecryptGCM(sealed, this.#key, counterIv(this.#counter), this.#hash);
    this.#counter += 1;
    this.#mixHash(sealed);
    return plain;
  }
}

function counterIv(counter: number): Buffer {
  const iv = Buffer.alloc(12);
  iv.writeUInt32BE(counter, 8);
  return iv;
}

/** The two certificates that a client verifies, issued under the given root. */
export function certificateChain(root: KeyPair, serverKey: KeyPair): Uint8Array {
  const { Details } = proto.CertChain.NoiseCertificate;
  const middle = Curve.generateKeyPair();
  const validity = { notBefore: 1, notAfter: 4_102_444_800 };
  const intermediate = Details.encode({
    serial: 1,
    issuerSerial: 0,
    key: middle.public,
    ...validity,
  }).finish();
  const leaf = Details.encode({
    serial: 2,
    issuerSerial: 1,
    key: serverKey.public,
    ...validity,
  }).finish();
  return proto.CertChain.encode({
    leaf: { details: leaf, signature: Curve.sign(middle.private, leaf) },
    intermediate: { details: intermediate, signature: Curve.sign(root.private, intermediate) },
  }).finish();
}
