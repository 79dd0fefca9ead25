/**
 * The host's end of a container's only connection: one HTTP/2 session over stdio. Each of its
 * streams is an HTTP/1 connection from inside, for a call of the model API or a request to the web
 * proxy; everything else is refused. A hostile peer can end its own session and do nothing more.
 */
import { createServer } from 'node:http';
import { performServerHandshake } from 'node:http2';
import { deferred } from '../deferred.ts';
import { type Stdio, stdioDuplex } from '../stdio-duplex.ts';
import { clip } from '../text.ts';
import { forward, isModelCall, type ModelApi, sendError } from './model-api.ts';
import { loggedUrlMax, openTunnel, type ProxyDependencies, proxyRequest } from './proxy.ts';

const bounds = {
  /** Concurrent connections on one wire. */
  streamsMax: 64,
  /** Flow control: bytes of all requests that may wait here for the API. */
  windowBytes: 1024 * 1024,
  sessionMegabytesMax: 16,
  offencesMax: 100,
  checkEveryMs: 1000,
  /** A connection that is silent in both directions for this long is closed. */
  silenceMaxMs: 15 * 60 * 1000,
};

const noRequest = 'This is no proper request.';

export interface WireDependencies extends ProxyDependencies {
  model: ModelApi;
}

export interface Wire {
  /** Resolves when the session ends, whoever ended it. Never rejects. */
  broken: Promise<Error>;
  close(): void;
}

/** Serves the session until the peer breaks it or `close` is called. */
export function serveWire(io: Stdio, deps: WireDependencies): Wire {
  const broken = deferred<Error>();
  const end = (reason: Error) => {
    broken.resolve(reason);
    clearInterval(check);
    // This also ends the session, its streams and their calls.
    duplex.destroy();
  };
  const duplex = stdioDuplex(io, end);
  // After input that is not HTTP/2, the session stops reading without an event. It also pauses
  // while it has much to write, so it is stuck only when it is paused with nothing to write.
  let wasStuck = false;
  const check = setInterval(() => {
    const isStuck = duplex.isPaused() && duplex.writableLength === 0;
    if (isStuck && wasStuck) end(new Error('The container does not speak HTTP/2.'));
    wasStuck = isStuck;
  }, bounds.checkEveryMs);
  duplex.on('resume', () => {
    wasStuck = false;
  });
  const session = performServerHandshake(duplex, {
    maxSessionMemory: bounds.sessionMegabytesMax,
    maxSessionInvalidFrames: bounds.offencesMax,
    maxSessionRejectedStreams: bounds.offencesMax,
    settings: { maxConcurrentStreams: bounds.streamsMax, initialWindowSize: bounds.windowBytes },
  });
  session.setLocalWindowSize(bounds.windowBytes);
  session.on('error', end);
  session.once('close', () => end(new Error('The session has ended.')));
  session.once('goaway', () => end(new Error('The container has ended the session.')));
  const server = openServer(deps);
  session.on('stream', (stream) => {
    stream.on('error', () => {}); // The server notices the end by itself.
    if (stream.closed || stream.destroyed) return; // Reset right after it was opened.
    stream.respond();
    server.emit('connection', stream);
  });
  return { broken: broken.promise, close: () => end(new Error('The host closed the wire.')) };
}

/** A server that never listens: its connections are the streams of one wire. */
function openServer(deps: WireDependencies) {
  // The client decides how long to keep a connection: closing it here would race its next call.
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    // Pipelined calls would exceed the limit on concurrent calls.
    if (!response.socket) request.socket.destroy();
    else if (isModelCall(request)) forward(request, response, deps.model, deps.caller.account);
    else if (!request.url?.startsWith('/')) void proxyRequest(deps, request, response);
    else {
      deps.log.warn(
        { method: request.method, url: clip(request.url, loggedUrlMax) },
        'refused on the wire',
      );
      const message = 'The only call of the model API that is allowed here is POST /v1/messages.';
      sendError(response, 403, 'permission_error', message);
    }
  });
  // Node's own answer is lost, since the stream is cut right after it.
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end(`HTTP/1.1 400 ${noRequest}\r\nconnection: close\r\n\r\n`);
    else socket.destroy();
  });
  server.on('connect', (request, client, head) => void openTunnel(deps, request, client, head));
  return server.setTimeout(bounds.silenceMaxMs);
}
