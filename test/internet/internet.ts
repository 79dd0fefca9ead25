/**
 * The internet of one test: real name and web servers at public addresses, in the network namespace
 * that scripts/own-internet.mjs gives each test file. In it every address leads to this machine,
 * also private ones, so only the product's own refusal keeps it from a server at 10.0.0.1.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Authority } from './authority.ts';
import { NameServer, type Reply } from './name-server.ts';
import { type Site, WebHost } from './web-host.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** What a skipped test lacked. `npm test` counts these tests and tells the reason. */
    needs?: string;
  }
}

/** For `test(name, needsInternet, ...)` and `describe`: skips where no namespace can be created. */
export const needsInternet = {
  skip: process.env.NANOCLAW_TEST_INTERNET === undefined,
  meta: { needs: 'internet' },
};

export interface HostOptions {
  /**
   * Where it listens and what its name resolves to. The default is one public address per family.
   */
  addresses?: string[];
  /** What its name resolves to instead, if that is elsewhere or changes. */
  replies?: [Reply, ...Reply[]];
  /** Ports for HTTP besides 80. HTTPS is on 443 only. */
  otherPorts?: number[];
}

export class Internet {
  readonly names: NameServer;
  /** A folder that is removed when the test ends. */
  readonly dir: string;
  readonly #authority: Authority;
  readonly #hosts: WebHost[] = [];

  private constructor(dir: string, names: NameServer, authority: Authority) {
    this.dir = dir;
    this.names = names;
    this.#authority = authority;
  }

  /** Starts the name server. Everything stops when the test ends. A test may have one at a time. */
  static async start(): Promise<Internet> {
    const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-internet-'));
    const internet = new Internet(dir, new NameServer(), await Authority.create(dir));
    onTestFinished(async () => {
      await Promise.all([internet.names.stop(), ...internet.#hosts.map((host) => host.stop())]);
      rmSync(dir, { recursive: true, force: true });
    });
    await internet.names.start();
    return internet;
  }

  /** The authority's certificate as a PEM file, as for `curl --cacert`. */
  get authorityFile(): string {
    return this.#authority.certificateFile;
  }

  /**
   * Starts a web server with HTTP on port 80 and HTTPS on 443, and declares its name. Addresses
   * such as 127.0.0.1 or 169.254.169.254 show who connects where nobody may.
   */
  async host(name: string, site: Site, options: HostOptions = {}): Promise<WebHost> {
    const number = this.#hosts.length + 1;
    const addresses = options.addresses ?? [`11.0.0.${number}`, `2600:11::${number}`];
    const credentials = await this.#authority.issue(name);
    const host = new WebHost(name, addresses, site, credentials);
    this.#hosts.push(host);
    await host.start(options.otherPorts ?? []);
    this.names.declare(name, ...(options.replies ?? [addresses]));
    return host;
  }
}
