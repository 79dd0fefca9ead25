/**
 * The container's side of its only wire: an HTTP server on the container's own loopback whose
 * requests travel as streams of one HTTP/2 session over stdin and stdout.
 * It decides nothing: what may pass is the host's policy. It opens no second session.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { type Duplex, pipeline } from 'node:stream';
import { deferred } from '../../src/deferred.ts';
import { type Stdio, stdioDuplex } from '../../src/stdio-duplex.ts';

/** HTTP/1 headers that speak of one connection only. */
const connectionHeaders = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

export interface Wire {
  /** Resolves when the session is over; there is no other. */
  closed: Promise<void>;
  /** Serves on 127.0.0.1:`port`. Rejects when the port is taken. */
  listen(port: number): Promise<void>;
}

/** Opens the session; the host holds the other ends of `io`. */
export function openWire(io: Stdio): Wire {
  const closed = deferred<void>();
  const duplex = stdioDuplex(io, () => {
    duplex.destroy();
    closed.resolve();
  });
  const session = connect('http://nanoclaw', { createConnection: () => duplex });
  session.on('error', () => {}); // `close` follows every error.
  session.once('close', closed.resolve);
  const server = createServer((request, response) => forward(session, request, response));
  server.on('connect', (request, socket) => {
    tunnel(session, request, socket);
  });
  // The client decides how long it keeps a connection: closing first would race its next call.
  server.keepAliveTimeout = 0;
  return {
    closed: closed.promise,
    listen: (port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject).listen(port, '127.0.0.1', resolve);
      }),
  };
}

function forward(
  session: ClientHttp2Session,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (session.closed || session.destroyed) {
    response.destroy();
    return;
  }
  // A client that takes this for a proxy names the host in the request line.
  const [, authority = 'nanoclaw', path = '/'] =
    /^(?:http:\/\/([^/?]+))?(.*)$/i.exec(request.url ?? '') ?? [];
  const headers = Object.entries(request.headers).filter(([name]) => !connectionHeaders.has(name));
  const stream = session.request(
    {
      ...Object.fromEntries(headers),
      ':authority': authority,
      ':method': request.method,
      ':path': path,
    },
    { endStream: false },
  );
  stream.once('response', ({ ':status': status = constants.HTTP_STATUS_BAD_GATEWAY, ...rest }) => {
    response.writeHead(status, rest);
    // Node would keep the head back until the first byte of the body.
    response.flushHeaders();
    pipeline(stream, response, () => {});
  });
  // What was cut there is cut here: never end an answer that did not end.
  stream.on('error', () => response.destroy());
  stream.once('close', () => {
    if (!response.headersSent) response.destroy();
  });
  response.once('close', () => stream.close(constants.NGHTTP2_CANCEL));
  request.pipe(stream);
}

function tunnel(session: ClientHttp2Session, request: IncomingMessage, socket: Duplex): void {
  const stream = session.request({ ':method': 'CONNECT', ':authority': request.url });
  stream.once('response', ({ ':status': status }) => {
    socket.write(`HTTP/1.1 ${status} ${status === 200 ? 'Connected' : 'Refused'}\r\n\r\n`);
    pipeline(stream, socket, stream, () => {});
  });
  stream.on('error', () => socket.destroy());
  socket.on('error', () => stream.close(constants.NGHTTP2_CANCEL));
}
