/**
 * The host's end of a container's only wire: one HTTP/2 session over its stdio, each stream of
 * which is an HTTP/1 connection from inside: a call of the model API, or one to a proxy of the
 * web. Refuses everything else. Whatever a hostile peer does ends at most its own wire.
 */
import { createServer } from 'node:http';
import { performServerHandshake } from 'node:http2';
import { deferred } from '../deferred.ts';
import { type Stdio, stdioDuplex } from '../stdio-duplex.ts';
import { forward, isModelCall, type ModelApi, sendError } from './model-api.ts';
import { openTunnel, type ProxyDependencies, proxyRequest } from './proxy.ts';

const bounds = {
  /** Connections at once on one wire. */
  streamsMax: 64,
  /** Bytes of all requests that wait here for the API; one round trip fetches as many. */
  windowBytes: 1024 * 1024,
  sessionMegabytesMax: 16,
  offencesMax: 100,
  lookEveryMs: 1000,
  /** A connection on which nothing moves, in either direction. */
  silenceMaxMs: 15 * 60 * 1000,
};

const noRequest = 'This is no proper request.';

export interface WireDependencies extends ProxyDependencies {
  model: ModelApi;
}

export interface Wire {
  /** Resolves, never rejects, when the session is over, whoever ended it. */
  broken: Promise<Error>;
  close(): void;
}

/** Serves the session until the peer breaks it or `close` is called. */
export function serveWire(io: Stdio, deps: WireDependencies): Wire {
  const broken = deferred<Error>();
  const end = (reason: Error) => {
    broken.resolve(reason);
    clearInterval(look);
    // The session and its streams, and with them the calls, end with what carries them.
    duplex.destroy();
  };
  const duplex = stdioDuplex(io, end);
  // What is no HTTP/2 has the session read no more, of which nothing tells: only that it has
  // nothing to write either, for which it would pause.
  let wasStuck = false;
  const look = setInterval(() => {
    const isStuck = duplex.isPaused() && duplex.writableLength === 0;
    if (isStuck && wasStuck) end(new Error('What came was no HTTP/2.'));
    wasStuck = isStuck;
  }, bounds.lookEveryMs);
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
  session.once('close', () => end(new Error('The session is over.')));
  session.once('goaway', () => end(new Error('The container has ended the session.')));
  const server = openServer(deps);
  session.on('stream', (stream) => {
    stream.on('error', () => {}); // Its end, of which the server hears by itself.
    if (stream.closed || stream.destroyed) return; // Reset as soon as it was opened.
    stream.respond();
    server.emit('connection', stream);
  });
  return { broken: broken.promise, close: () => end(new Error('The host closed the wire.')) };
}

/** A server that never listens: its connections are the streams of one wire. */
function openServer(deps: WireDependencies) {
  // The client decides how long it keeps a connection: closing first would race its next call.
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    // A call behind another on one connection would pass the bound on calls at once.
    if (!response.socket) request.socket.destroy();
    else if (isModelCall(request)) forward(request, response, deps.model, deps.caller.account);
    else if (!request.url?.startsWith('/')) void proxyRequest(deps, request, response);
    else {
      deps.log.warn(
        { method: request.method, url: request.url.slice(0, 200) },
        'refused on the wire',
      );
      const message = 'Of the model API, only POST /v1/messages is open from here.';
      sendError(response, 403, 'permission_error', message);
    }
  });
  // Node's own answer is lost when the stream is cut behind it.
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end(`HTTP/1.1 400 ${noRequest}\r\nconnection: close\r\n\r\n`);
    else socket.destroy();
  });
  server.on('connect', (request, client, head) => void openTunnel(deps, request, client, head));
  return server.setTimeout(bounds.silenceMaxMs);
}
