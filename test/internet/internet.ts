/**
 * The internet of one test: real name and web servers under public-looking addresses, in the
 * network namespace that scripts/own-internet.mjs gives each test file. There every address leads
 * to this machine, private ones too: only the product's refusal keeps it from a server at 10.0.0.1.
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
    /** What a test was skipped for the want of; `npm test` tells it. */
    needs?: string;
  }
}

/** For `test(name, needsInternet, ...)` and `describe`: skipped where no namespace can be had. */
export const needsInternet = {
  skip: process.env.NANOCLAW_TEST_INTERNET === undefined,
  meta: { needs: 'internet' },
};

export interface HostOptions {
  /** Where it listens and what its name leads to; by default one public address per family. */
  addresses?: string[];
  /** What the name server says instead, for a host whose name leads elsewhere, or changes. */
  replies?: [Reply, ...Reply[]];
  /** Ports on which it speaks HTTP besides 80; HTTPS is on 443 only. */
  otherPorts?: number[];
}

export class Internet {
  readonly names: NameServer;
  /** A folder of the test's own, removed at its end. */
  readonly dir: string;
  readonly #authority: Authority;
  readonly #hosts: WebHost[] = [];

  private constructor(dir: string, names: NameServer, authority: Authority) {
    this.dir = dir;
    this.names = names;
    this.#authority = authority;
  }

  /** Starts the name server; the test's end stops all that was started. One per test at a time. */
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

  /** PEM, as a client that is to trust the HTTPS servers takes it: `curl --cacert`. */
  get authorityFile(): string {
    return this.#authority.certificateFile;
  }

  /**
   * Starts a web server, HTTP on port 80 and HTTPS on 443, and declares its name.
   * Give it addresses such as 127.0.0.1 or 169.254.169.254 to see who comes where none may.
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
