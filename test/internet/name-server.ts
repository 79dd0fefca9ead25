/**
 * A real name server for declared names, on every address at which this machine looks up names. It
 * asks no other server, so all other names are unknown.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { getServers } from 'node:dns';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { type Answer, decode, encode, type Question } from 'dns-packet';

/**
 * What a name resolves to: addresses of either family, another name, `unknown` (NXDOMAIN), or
 * `silence` (no answer, so that the client's time limit applies).
 */
export type Reply = string[] | { alias: string } | 'unknown' | 'silence';

export class NameServer {
  /** All received questions, oldest first, such as `A shop.example`. */
  readonly queries: string[] = [];
  readonly #replies = new Map<string, Reply[]>();
  readonly #sockets: Socket[] = [];

  async start(): Promise<void> {
    for (const address of nameServerAddresses()) {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      this.#sockets.push(socket);
      socket.on('message', (message, from) => this.#answer(socket, message, from));
      socket.bind(53, address);
      await once(socket, 'listening');
    }
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#sockets.map(async (socket) => {
        const closed = once(socket, 'close');
        socket.close();
        await closed;
      }),
    );
  }

  /**
   * Declares a name, or replaces its declaration. With several replies, each question gets the next
   * one, counted separately for A and AAAA, and the last one repeats. This rebinds a name.
   */
  declare(name: string, ...replies: [Reply, ...Reply[]]): void {
    for (const type of ['A', 'AAAA', 'CNAME']) this.#replies.set(`${type} ${name}`, [...replies]);
  }

  #answer(socket: Socket, message: Buffer, from: RemoteInfo): void {
    const { id, questions = [] } = decode(message);
    const [question] = questions;
    if (!question) return;
    const name = question.name.toLowerCase();
    this.queries.push(`${question.type} ${name}`);
    const answers = this.#resolve(question.type, name);
    if (answers === 'silence') return;
    const unknown = answers === 'unknown';
    const response = encode({
      type: 'response',
      ...(id === undefined ? {} : { id }),
      flags: recursion | (unknown ? nameUnknown : 0),
      questions: [question],
      answers: unknown ? [] : answers,
    });
    socket.send(response, from.port, from.address);
  }

  #resolve(type: Question['type'], name: string): Answer[] | 'unknown' | 'silence' {
    const reply = this.#nextReply(type, name);
    if (reply === 'unknown' || reply === 'silence') return reply;
    if ('alias' in reply) {
      const alias: Answer = { type: 'CNAME', name, ttl: 0, data: reply.alias };
      if (type === 'CNAME') return [alias];
      const target = this.#resolve(type, reply.alias);
      // The answer holds an alias even if its target is unknown, and the end of the chain if known.
      return target === 'silence' ? target : [alias, ...(target === 'unknown' ? [] : target)];
    }
    if (type !== 'A' && type !== 'AAAA') return [];
    return reply
      .filter((address) => isIPv6(address) === (type === 'AAAA'))
      .map((data) => ({ type, name, ttl: 0, data }));
  }

  #nextReply(type: string, name: string): Reply {
    const replies = this.#replies.get(`${type} ${name}`);
    if (replies) return (replies.length > 1 ? replies.shift() : replies[0]) ?? 'unknown';
    const isDeclared = this.#replies.has(`A ${name}`);
    return isDeclared ? [] : 'unknown';
  }
}

/** Flags of a response: recursion was desired and is available. */
const recursion = 0x0180;
/** The response code NXDOMAIN. */
const nameUnknown = 3;

/** The addresses in /etc/resolv.conf without port and scope, or 127.0.0.1 if there is none. */
function nameServerAddresses(): string[] {
  return [...new Set(getServers())].filter((address) => !/[%\]]/.test(address));
}
