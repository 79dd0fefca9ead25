/**
 * The container's side of its only wire: each connection to a port on the container's own
 * loopback travels, byte for byte, as one stream of an HTTP/2 session over stdin and stdout.
 * It understands nothing and decides nothing: what may pass is the host's policy.
 */
import { connect } from 'node:http2';
import { createServer } from 'node:net';
import { pipeline } from 'node:stream';
import { deferred } from '../../src/deferred.ts';
import { type Stdio, stdioDuplex } from '../../src/stdio-duplex.ts';

/** Bytes of all answers that wait here for their readers; node's own 64 kB slow downloads. */
const windowBytes = 1024 * 1024;
/** Bytes of one connection that may wait for its reader: enough to write much at a time. */
const highWaterMark = 256 * 1024;

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
    // Frames hold 16 kB: those that come together leave together.
    stream.on('data', () => {
      socket.cork();
      process.nextTick(() => socket.uncork());
    });
    // What is cut at one end is cut at the other, whatever the error was.
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
