/**
 * Opens agents' connections to the public web. Asks a policy about each host, resolves the name
 * itself, and connects only to an address that it has checked. Does not decide what a group may
 * reach.
 */
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { type Group, UserError } from '../types.ts';
import { isPublic } from './addresses.ts';
import type { Account } from './ledger.ts';

const bounds = {
  lookupTimeoutMs: 3000,
  lookupTries: 2,
  connectTimeoutMs: 15_000,
  /** For one address, if there are others to try. */
  attemptTimeoutMs: 2000,
  /** A connection without traffic for this long is closed. */
  silenceMaxMs: 5 * 60 * 1000,
  /** A group's connections at once, including those that are being opened. */
  connectionsMax: 64,
};

const ports = [80, 443];
export interface Target {
  host: string;
  port: number;
}

/** Whose connection it is, and where it is counted. */
export interface Caller {
  group: Group;
  account: Account;
}

interface Connection {
  group: Group;
  target: Target;
  /** Undefined until the name is resolved. */
  socket?: Socket;
}

/** Why a connection was refused, in words for the agent, with the HTTP status. */
export class Refusal extends UserError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Parses `host:port` by the URL standard, which recognizes an IP address in every spelling. The port
 * defaults to 80. Undefined if it is not valid.
 */
export function parseTarget(authority: string): Target | undefined {
  if (!/^[\w.:[\]-]{1,300}$/.test(authority) || !URL.canParse(`http://${authority}`))
    return undefined;
  const { hostname, port } = new URL(`http://${authority}`);
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.+$/, '');
  return host && host.length <= 253 ? { host, port: Number(port || 80) } : undefined;
}

/** Decides what a group may reach. Asked before each connection, and again once the name is resolved. */
export interface WebPolicy {
  /** Why the group may not reach the host, in words for its agent; undefined if it may. */
  objection(group: Group, host: string): string | undefined;
  /** Called when a connection was refused because of an objection. */
  refused(group: Group, host: string): void;
}

/** Used when no feature has a policy: nothing can be reached. */
export const noWeb: WebPolicy = {
  objection: () => 'Agents have no access to the web here.',
  refused: () => {},
};

export class Web {
  /** Features are made after the web, and one of them may set it; nothing connects before that. */
  policy: WebPolicy;
  readonly #connections = new Set<Connection>();

  constructor(policy: WebPolicy) {
    this.policy = policy;
  }

  /** Closes the group's connections that the policy no longer allows. */
  recheck(folder: string): void {
    for (const { group, target, socket } of this.#connections)
      if (group.folder === folder && this.policy.objection(group, target.host)) socket?.destroy();
  }

  /** Resolves to an open connection. Rejects with Refusal. */
  async connect(caller: Caller, target: Target): Promise<Socket> {
    const { group } = caller;
    const others = [...this.#connections].filter((other) => other.group.folder === group.folder);
    if (others.length >= bounds.connectionsMax)
      throw new Refusal(429, 'There are too many connections at once.');
    const connection: Connection = { group, target };
    this.#connections.add(connection);
    try {
      return await this.#connect(caller, connection);
    } catch (error) {
      this.#connections.delete(connection);
      throw error;
    }
  }

  async #connect({ group, account }: Caller, connection: Connection): Promise<Socket> {
    const { host, port } = connection.target;
    const refuse = (reason: string) => {
      account.refused(host);
      return new Refusal(403, reason);
    };
    if (!ports.includes(port))
      throw refuse('Of the web, only the ports 80 and 443 can be reached.');
    const reason = this.policy.objection(group, host);
    if (reason !== undefined) {
      this.policy.refused(group, host);
      throw refuse(reason);
    }
    const offTheWeb = `${host} is not on the public web.`;
    if (isIP(host) && !isPublic(host)) throw refuse(offTheWeb);
    // Before the name is resolved, because the DNS query itself can carry data out.
    const entry = account.open(host);
    if (!entry) throw refuse('This turn has reached for too many different hosts.');
    const addresses = await this.#lookUp(host);
    if (addresses.length === 0) throw new Refusal(502, `${host} was not found.`);
    const allowed = addresses.filter(isPublic);
    if (allowed.length === 0) throw refuse(offTheWeb);
    // The policy may have changed meanwhile.
    const late = this.policy.objection(group, host);
    if (late !== undefined) throw refuse(late);
    entry.add({ requests: 1 });
    const found = allowed.map((address) => ({ address, family: isIP(address) }));
    const socket = connect({
      host,
      port,
      lookup: (_host, _options, done) => done(null, found),
      allowHalfOpen: true, // A client that has sent everything can still read.
      autoSelectFamilyAttemptTimeout: bounds.attemptTimeoutMs,
    });
    socket.on('error', () => {}); // `close` follows.
    connection.socket = socket;
    socket.once('close', () => this.#connections.delete(connection));
    entry.follow(socket);
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
    // A new one each time, because the machine may have moved to a network with other name servers.
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
}
