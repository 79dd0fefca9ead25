/**
 * A real name server for declared names, on every address that this machine asks for names.
 * Knows no other name: there is nobody behind it to ask.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { getServers } from 'node:dns';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { type Answer, decode, encode, type Question } from 'dns-packet';

/**
 * What a name leads to: addresses of either family, another name, or `unknown` (NXDOMAIN) or
 * `silence` (no answer at all, so that who asks runs into its time limit).
 */
export type Reply = string[] | { alias: string } | 'unknown' | 'silence';

export class NameServer {
  /** Every question that came, oldest first, as `A shop.example`. */
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
   * Declares a name, or declares it anew. With several replies, each question of one type (A and
   * AAAA count apart) gets the next one, and the last one stays: so a name is rebound.
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
      // An alias that leads nowhere is still told; so is the end of the chain, when it is known.
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

/** The servers of /etc/resolv.conf, without port and scope; 127.0.0.1 where it names none. */
function nameServerAddresses(): string[] {
  return [...new Set(getServers())].filter((address) => !/[%\]]/.test(address));
}
