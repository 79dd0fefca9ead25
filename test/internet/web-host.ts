/**
 * A real web server with a name and addresses of its own: HTTP on port 80, HTTPS on 443. It counts
 * requests and bytes, so that tests can compare the product's ledger with it.
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

/**
 * A listener for each path, where `/folder/*` covers what is below, or one listener for all paths.
 */
export type Site = RequestListener | Record<string, RequestListener>;

/** The total over all connections to a host. */
export interface Traffic {
  connections: number;
  requests: number;
  /**
   * Bytes that clients sent on its TCP connections, without TCP and IP headers. With HTTPS these
   * are the TLS records with the handshake, exactly as a CONNECT tunnel carries them.
   */
  bytesUp: number;
  /** The same for bytes that the host sent. */
  bytesDown: number;
}

export interface SeenRequest {
  scheme: 'http' | 'https';
  method: string;
  /** As the client sent it, with the query. */
  path: string;
  headers: IncomingHttpHeaders;
}

export class WebHost {
  readonly name: string;
  readonly addresses: string[];
  /** Every request whose head has arrived, oldest first. */
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
      // No TLS close to a client that has left: its bytes would be counted, but might not arrive.
      socket.once('end', () => socket.destroy());
      inTls.emit('connection', socket);
    });
    this.#secure.on('tlsClientError', () => {}); // A client may not trust the authority.
  }

  /** The traffic so far. */
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

  /** Resolves to the traffic once all connections are closed and no bytes are in transit. */
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

  /** Closes all connections and stops listening. */
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
      socket.on('error', () => {}); // The client may reset the connection.
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

/** The site's longest `/folder/*` that covers the path. */
function folderOf(path: string, site: Record<string, RequestListener>): string {
  const above = Object.keys(site).filter(
    (key) => key.endsWith('/*') && path.startsWith(key.slice(0, -1)),
  );
  return above.sort((a, b) => b.length - a.length)[0] ?? '';
}
