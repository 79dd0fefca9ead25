/**
 * The container's end of its only connection. Each connection to a port on the container's loopback
 * becomes one stream of an HTTP/2 session over stdin and stdout, byte for byte. It parses nothing
 * and decides nothing: the host's policy decides what may pass.
 */
import { connect } from 'node:http2';
import { createServer } from 'node:net';
import { pipeline } from 'node:stream';
import { deferred } from '../../src/deferred.ts';
import { type Stdio, stdioDuplex } from '../../src/stdio-duplex.ts';

/** Bytes of all responses that may wait for their readers. Node's default of 64 kB slows downloads. */
const windowBytes = 1024 * 1024;
/** Bytes of one connection that may wait for its reader: large enough for large writes. */
const highWaterMark = 256 * 1024;

export interface Wire {
  /** Resolves when the session has ended. It is not reopened. */
  closed: Promise<void>;
  /** Listens on 127.0.0.1:`port`. Rejects when the port is in use. */
  listen(port: number): Promise<void>;
}

/** Opens the session. The host holds the other ends of `io`. */
export function openWire(io: Stdio): Wire {
  const closed = deferred<void>();
  const duplex = stdioDuplex(io, () => {
    duplex.destroy();
    closed.resolve();
  });
  const session = connect('http://nanoclaw', {
    createConnection: () => duplex,
    settings: { initialWindowSize: windowBytes },
  });
  session.once('connect', () => session.setLocalWindowSize(windowBytes));
  session.on('error', () => {}); // `close` follows every error.
  session.once('close', closed.resolve);
  const server = createServer({ noDelay: true, allowHalfOpen: true, highWaterMark }, (socket) => {
    if (session.closed || session.destroyed) {
      socket.destroy();
      return;
    }
    const stream = session.request({ ':method': 'POST' });
    // A frame holds 16 kB: frames that arrive together are written together.
    stream.on('data', () => {
      socket.cork();
      process.nextTick(() => socket.uncork());
    });
    // Whatever the error at one end, the other end is closed as well.
    pipeline(socket, stream, socket, () => {});
  });
  return {
    closed: closed.promise,
    listen: (port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject).listen(port, '127.0.0.1', resolve);
      }),
  };
}
