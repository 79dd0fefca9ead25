/**
 * A real web server under a name and addresses of its own: HTTP on port 80, HTTPS on 443.
 * Counts what reached it, so that others' books can be compared with it.
 */
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Credentials } from './authority.ts';

/** What a path answers; `/folder/*` takes what lies below. Or one listener for everything. */
export type Site = RequestListener | Record<string, RequestListener>;

/** What reached a host, in all, by whatever connection. */
export interface Traffic {
  connections: number;
  requests: number;
  /**
   * Bytes on its TCP connections as sent by who connected, without the headers of TCP and IP:
   * with HTTPS the TLS records, handshake and all, exactly what a CONNECT tunnel carries.
   */
  bytesUp: number;
  /** The same, as sent by the host. */
  bytesDown: number;
}

export interface SeenRequest {
  scheme: 'http' | 'https';
  method: string;
  /** As it was asked for, with the query. */
  path: string;
  headers: IncomingHttpHeaders;
}

export class WebHost {
  readonly name: string;
  readonly addresses: string[];
  /** Every request whose head came, oldest first. */
  readonly requests: SeenRequest[] = [];
  readonly #listeners: TcpServer[] = [];
  readonly #sockets: Socket[] = [];
  readonly #plain: Server;
  readonly #secure: TcpServer;

  constructor(name: string, addresses: string[], site: Site, credentials: Credentials) {
    this.name = name;
    this.addresses = addresses;
    const listener = asListener(site);
    const seen =
      (scheme: SeenRequest['scheme']): RequestListener =>
      (request, response) => {
        const { method = '', url: path = '', headers } = request;
        this.requests.push({ scheme, method, path, headers });
        listener(request, response);
      };
    const inTls = createServer(seen('https'));
    this.#plain = createServer(seen('http'));
    this.#secure = createTlsServer(credentials, (socket) => {
      // No farewell of TLS to who has left: it would be counted, and may reach nobody.
      socket.once('end', () => socket.destroy());
      inTls.emit('connection', socket);
    });
    this.#secure.on('tlsClientError', () => {}); // who connects may well not trust us
  }

  /** So far. */
  get traffic(): Traffic {
    const sum = (bytes: (socket: Socket) => number) =>
      this.#sockets.reduce((total, socket) => total + bytes(socket), 0);
    return {
      connections: this.#sockets.length,
      requests: this.requests.length,
      bytesUp: sum((socket) => socket.bytesRead),
      bytesDown: sum((socket) => socket.bytesWritten),
    };
  }

  /** The traffic when no connection is open any more; until then bytes may be on their way. */
  async settledTraffic(): Promise<Traffic> {
    const open = this.#sockets.filter((socket) => !socket.closed);
    await Promise.all(open.map((socket) => new Promise((close) => socket.once('close', close))));
    return this.traffic;
  }

  async start(otherPorts: number[]): Promise<void> {
    for (const address of this.addresses) {
      for (const port of [80, ...otherPorts]) await this.#listen(address, port, this.#plain);
      await this.#listen(address, 443, this.#secure);
    }
  }

  /** Cuts what is still connected. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(
      this.#listeners.map(async (listener) => {
        const closed = once(listener, 'close');
        listener.close();
        await closed;
      }),
    );
  }

  async #listen(address: string, port: number, server: TcpServer): Promise<void> {
    const listener = createTcpServer((socket) => {
      this.#sockets.push(socket);
      socket.on('error', () => {}); // cut by who connected
      server.emit('connection', socket);
    });
    this.#listeners.push(listener);
    listener.listen(port, address);
    await once(listener, 'listening');
  }
}

function asListener(site: Site): RequestListener {
  if (typeof site === 'function') return site;
  return (request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname;
    const answer = site[path] ?? site[folderOf(path, site)];
    if (answer) answer(request, response);
    else response.writeHead(404).end('nothing here\n');
  };
}

/** The longest `/folder/*` of the site above the path. */
function folderOf(path: string, site: Record<string, RequestListener>): string {
  const above = Object.keys(site).filter(
    (key) => key.endsWith('/*') && path.startsWith(key.slice(0, -1)),
  );
  return above.sort((a, b) => b.length - a.length)[0] ?? '';
}
