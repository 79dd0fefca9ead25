/** A certificate authority for one test. Clients trust it only when given its certificate file. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import selfsigned from 'selfsigned';

export interface Credentials {
  key: string;
  cert: string;
}

export class Authority {
  readonly certificateFile: string;
  readonly #own: Credentials;

  private constructor(certificateFile: string, own: Credentials) {
    this.certificateFile = certificateFile;
    this.#own = own;
  }

  /** Creates an authority and writes its certificate into `dir`. */
  static async create(dir: string): Promise<Authority> {
    const { private: key, cert } = await selfsigned.generate(named('Authority of a test'), {
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    });
    const certificateFile = join(dir, 'authority.pem');
    writeFileSync(certificateFile, cert);
    return new Authority(certificateFile, { key, cert });
  }

  /** A key and a certificate for a server of this name. */
  async issue(name: string): Promise<Credentials> {
    const { private: key, cert } = await selfsigned.generate(named(name), {
      keyType: 'ec',
      algorithm: 'sha256',
      ca: this.#own,
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'extKeyUsage', serverAuth: true },
        { name: 'subjectAltName', altNames: [{ type: 2, value: name }] },
      ],
    });
    return { key, cert };
  }
}

function named(value: string) {
  return [{ name: 'commonName', value }];
}
