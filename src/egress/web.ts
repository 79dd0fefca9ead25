/**
 * The public web, as far as a group may have it. Judges each connection by the group's policy,
 * looks its host up itself, and connects to the very address that it has judged.
 */
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import type { Base } from '../base.ts';
import { type Group, UserError } from '../types.ts';
import { isPublic } from './addresses.ts';
import { type Account, localDay } from './ledger.ts';
import { findWebPolicy, saveWebPolicy, type WebPolicy } from './store.ts';

const bounds = {
  lookupTimeoutMs: 3000,
  lookupTries: 2,
  connectTimeoutMs: 15_000,
  /** Of one address, when there are others to try. */
  attemptTimeoutMs: 2000,
  /** A connection on which nothing moves. */
  silenceMaxMs: 5 * 60 * 1000,
  /** Connections of a group at once, with those that are still being made. */
  connectionsMax: 64,
  /** Refused hosts of a group that the owner is told of in a day. */
  noticesPerDayMax: 5,
};

const ports = [80, 443];
/** UTF-16 units; of an assistant's name 30 are allowed. */
const nameRoom = 40;

/** Where groups other than main begin: places to read, and the registries of packages. */
const usefulHosts = [
  ...['*.wikipedia.org', '*.wikimedia.org', '*.wiktionary.org', 'www.wikidata.org'],
  ...['developer.mozilla.org', 'docs.python.org', 'nodejs.org', 'www.openstreetmap.org'],
  ...['registry.npmjs.org', 'pypi.org', 'files.pythonhosted.org', 'deb.debian.org'],
  ...['github.com', 'raw.githubusercontent.com', 'objects.githubusercontent.com'],
];

export interface Target {
  host: string;
  port: number;
}

/** Whose connection it is, and who counts it. */
export interface Caller {
  group: Group;
  account: Account;
}

/** The words are for the agent; `status` is HTTP's. */
export class Refusal extends UserError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** `host:port` in the URL standard's reading, which knows an address in any disguise. */
export function parseTarget(authority: string): Target | undefined {
  if (!/^[\w.:[\]-]{1,300}$/.test(authority) || !URL.canParse(`http://${authority}`))
    return undefined;
  const { hostname, port } = new URL(`http://${authority}`);
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.+$/, '');
  return host && host.length <= 253 ? { host, port: Number(port || 80) } : undefined;
}

export interface WebDependencies extends Pick<Base, 'store' | 'clock'> {
  tellOwner(text: string): void;
}

export class Web {
  readonly #deps: WebDependencies;
  readonly #attempts = new Map<string, number>();
  readonly #live = new Map<Socket, { group: Group; target: Target }>();
  #told = { day: '', hosts: new Map<string, Set<string>>() };

  constructor(deps: WebDependencies) {
    this.#deps = deps;
  }

  policyOf({ folder, isMain }: Group): WebPolicy {
    const known = findWebPolicy(this.#deps.store, folder);
    return known ?? { mode: isMain ? 'open' : 'listed', hosts: usefulHosts };
  }

  /** From now on; connections that it no longer allows are cut. */
  setPolicy(group: Group, policy: WebPolicy): void {
    saveWebPolicy(this.#deps.store, group.folder, policy);
    for (const [socket, { group: other, target }] of this.#live)
      if (other.folder === group.folder && objection(group, policy, target)) socket.destroy();
  }

  /** Resolves to an open connection. Throws Refusal, with words that an agent can pass on. */
  async connect(caller: Caller, target: Target): Promise<Socket> {
    const { folder } = caller.group;
    const open = [...this.#live.values()].filter(({ group }) => group.folder === folder).length;
    const attempts = this.#attempts.get(folder) ?? 0;
    if (open + attempts >= bounds.connectionsMax)
      throw new Refusal(429, 'There are too many connections at once.');
    this.#attempts.set(folder, attempts + 1);
    try {
      return await this.#connect(caller, target);
    } finally {
      this.#attempts.set(folder, (this.#attempts.get(folder) ?? 1) - 1);
    }
  }

  async #connect({ group, account }: Caller, target: Target): Promise<Socket> {
    const { host, port } = target;
    const refuse = (reason: string) => {
      account.refused(host);
      return new Refusal(403, reason);
    };
    const policy = this.policyOf(group);
    const reason = objection(group, policy, target);
    if (reason !== undefined) {
      if (policy.mode === 'listed' && ports.includes(port)) this.#tell(group, host);
      throw refuse(reason);
    }
    const offTheWeb = `${host} is not on the public web.`;
    if (isIP(host) && !isPublic(host)) throw refuse(offTheWeb);
    // Before the name is looked up: the question itself can carry something out.
    const entry = account.open(host);
    if (!entry) throw refuse('This turn has reached for too many different hosts.');
    const addresses = await this.#lookUp(host);
    if (addresses.length === 0) throw new Refusal(502, `${host} was not found.`);
    const allowed = addresses.filter(isPublic);
    if (allowed.length === 0) throw refuse(offTheWeb);
    // The policy may have changed meanwhile.
    const late = objection(group, this.policyOf(group), target);
    if (late !== undefined) throw refuse(late);
    account.add(entry, { requests: 1 });
    const found = allowed.map((address) => ({ address, family: isIP(address) }));
    const socket = connect({
      host,
      port,
      lookup: (_host, _options, done) => done(null, found),
      allowHalfOpen: true, // Who has said all may still listen.
      autoSelectFamilyAttemptTimeout: bounds.attemptTimeoutMs,
    });
    socket.on('error', () => {}); // `close` follows.
    this.#live.set(socket, { group, target });
    socket.once('close', () => this.#live.delete(socket));
    account.follow(entry, socket);
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(bounds.connectTimeoutMs) });
    } catch {
      socket.destroy();
      throw new Refusal(504, `${host} cannot be reached.`);
    }
    return socket.setNoDelay().setTimeout(bounds.silenceMaxMs, () => socket.destroy());
  }

  async #lookUp(host: string): Promise<string[]> {
    if (isIP(host)) return [host];
    // A new one each time: it asks the name servers of the network that the machine is in now.
    const resolver = new Resolver({ timeout: bounds.lookupTimeoutMs, tries: bounds.lookupTries });
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = answers.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    const isAnswered = answers.every(
      (each) => each.status === 'fulfilled' || ['ENOTFOUND', 'ENODATA'].includes(each.reason.code),
    );
    if (addresses.length === 0 && !isAnswered)
      throw new Refusal(502, `The name servers give no answer about ${host}.`);
    return addresses;
  }

  /**
   * What a notice of today is about, for who answers it. Any other text, which an agent may have
   * written, is about nothing.
   */
  noticed(text: string): { host: string; folder: string } | undefined {
    for (const [folder, hosts] of this.#told.hosts)
      for (const host of hosts) {
        const notice = noticeOf(folder, host);
        // Channels put a name before it.
        if (text.endsWith(notice) && text.length < notice.length + nameRoom)
          return { host, folder };
      }
    return undefined;
  }

  /** The owner, once a day for each host, and not of all that a wild agent thinks up. */
  #tell({ folder }: Group, host: string): void {
    const day = localDay(this.#deps.clock.now());
    if (this.#told.day !== day) this.#told = { day, hosts: new Map() };
    const hosts = this.#told.hosts.get(folder) ?? new Set();
    this.#told.hosts.set(folder, hosts);
    if (hosts.has(host) || hosts.size > bounds.noticesPerDayMax) return;
    hosts.add(host);
    this.#deps.tellOwner(
      hosts.size > bounds.noticesPerDayMax
        ? `The agent of "${folder}" was refused further hosts today. /egress lists them.`
        : noticeOf(folder, host),
    );
  }
}

/** Without the group's name, which an agent may have chosen. */
function noticeOf(folder: string, host: string): string {
  return `The agent of "${folder}" wanted to reach ${host} and was refused. To allow it, reply /allow to this message, or write: /allow ${host} ${folder}`;
}

/** Why the group may not have the target; undefined when it may. */
function objection(
  { folder }: Group,
  { mode, hosts }: WebPolicy,
  { host, port }: Target,
): string | undefined {
  if (mode === 'none')
    return `This group has no access to the web. The owner can give it in the main chat: /web ${folder} listed`;
  if (!ports.includes(port)) return 'Of the web, only the ports 80 and 443 can be reached.';
  if (mode === 'open' || hosts.some((known) => covers(known, host))) return undefined;
  return `${host} is not among the hosts that this group may reach. The owner can allow it in the main chat: /allow ${host} ${folder}`;
}

function covers(known: string, host: string): boolean {
  return known.startsWith('*.') ? host.endsWith(known.slice(1)) : host === known;
}
