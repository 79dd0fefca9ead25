/**
 * The host's end of a container's only wire: one HTTP/2 session over its stdio, each stream of
 * which is an HTTP/1 connection from inside. Carries the model API's few paths, with the real
 * credential; refuses everything else. Whatever a hostile peer does ends at most its own wire.
 */
import {
  createServer,
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as openCall,
  type ServerResponse,
} from 'node:http';
import { performServerHandshake } from 'node:http2';
import { Agent as HttpsAgent } from 'node:https';
import { pipeline } from 'node:stream';
import type { Logger } from 'pino';
import type { Credential, ModelAccess } from './config.ts';
import { deferred } from './deferred.ts';
import { type Stdio, stdioDuplex } from './stdio-duplex.ts';

const bounds = {
  /** Connections at once on one wire. */
  streamsMax: 64,
  /** The API's own limit is 32 MB. */
  requestBytesMax: 40 * 1024 * 1024,
  /** Bytes of all requests that wait here for the API; one round trip fetches as many. */
  windowBytes: 1024 * 1024,
  sessionMegabytesMax: 16,
  offencesMax: 100,
  /** A connection on which nothing moves, in either direction. */
  silenceMaxMs: 15 * 60 * 1000,
  upstreamIdleMs: 60 * 1000,
};

/** Exactly these paths, in printable ASCII: no encodings, no dots, no second way to say it. */
const allowedPath = /^\/v1\/messages(?:\/count_tokens)?(?:\?[!-"$-~]*)?$/;
const allowedRequestHeader =
  /^(?:accept|accept-encoding|content-length|content-type|user-agent|x-app|anthropic-.+|x-stainless-.+|x-claude-code-.+)$/;
const allowedResponseHeader =
  /^(?:content-encoding|content-type|request-id|retry-after|retry-after-ms|x-should-retry|anthropic-.+)$/;
/** The API takes OAuth tokens only from those who say this. */
const oauthBeta = 'oauth-2025-04-20';
const noNetwork = 'This container has no network: only the model API can be reached from here.';

/** The model API with its open connections, which all wires share. */
export interface ModelApi extends ModelAccess {
  agent: HttpAgent;
}

export function openModelApi(access: ModelAccess): ModelApi {
  const Agent = new URL(access.baseUrl).protocol === 'https:' ? HttpsAgent : HttpAgent;
  return { ...access, agent: new Agent({ keepAlive: true, timeout: bounds.upstreamIdleMs }) };
}

export interface Wire {
  /** Resolves, never rejects, when the session is over, whoever ended it. */
  broken: Promise<Error>;
  close(): void;
}

/** Serves the session until the peer breaks it or `close` is called. */
export function serveWire(io: Stdio, { model, log }: { model: ModelApi; log: Logger }): Wire {
  const broken = deferred<Error>();
  const end = (reason: Error) => {
    broken.resolve(reason);
    // The session and its streams, and with them the calls, end with what carries them.
    duplex.destroy();
  };
  const duplex = stdioDuplex(io, end);
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
  const server = openServer(model, log);
  session.on('stream', (stream) => {
    stream.on('error', () => {}); // Its end, of which the server hears by itself.
    if (stream.closed || stream.destroyed) return; // Reset as soon as it was opened.
    stream.respond();
    server.emit('connection', stream);
  });
  return { broken: broken.promise, close: () => end(new Error('The host closed the wire.')) };
}

/** A server that never listens: its connections are the streams of one wire. */
function openServer(model: ModelApi, log: Logger) {
  // The client decides how long it keeps a connection: closing first would race its next call.
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    // A call behind another on one connection would pass the bound on calls at once.
    if (!response.socket) request.socket.destroy();
    else if (mayPass(request)) forward(request, response, model);
    else {
      const { method, url = '' } = request;
      log.warn({ method, url: url.slice(0, 200) }, 'refused on the wire');
      const message = url.startsWith('/')
        ? 'Of the model API, only POST /v1/messages is open from here.'
        : noNetwork;
      sendError(response, 403, 'permission_error', message);
    }
  });
  server.on('connect', (request, socket) => {
    log.warn({ method: 'CONNECT', url: request.url?.slice(0, 200) }, 'refused on the wire');
    socket.end(`HTTP/1.1 403 Forbidden\r\n\r\n${noNetwork}`);
  });
  return server.setTimeout(bounds.silenceMaxMs);
}

function mayPass({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && allowedPath.test(url);
}

function forward(request: IncomingMessage, response: ServerResponse, model: ModelApi): void {
  const call = openCall(model.baseUrl.replace(/\/$/, '') + request.url, {
    method: 'POST',
    agent: model.agent,
    headers: {
      ...pick(request.headers, allowedRequestHeader),
      ...credentialHeaders(model.credential, request.headers),
    },
  });
  call.on('error', (error: NodeJS.ErrnoException) => {
    sendError(response, 502, 'api_error', `The model API cannot be reached (${error.code}).`);
  });
  call.once('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, pick(answer.headers, allowedResponseHeader));
    // Node would keep the head back until the first byte of the body.
    response.flushHeaders();
    pipeline(answer, response, () => {}); // An answer cut there is cut here.
  });
  response.once('close', () => call.destroy());
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= bounds.requestBytesMax) return;
    call.destroy();
    sendError(response, 413, 'request_too_large', 'The request is larger than the API allows.');
  });
  request.pipe(call);
  // What is still to come of a request that has been answered is thrown away.
  call.once('close', () => request.resume());
}

function credentialHeaders(
  { kind, secret }: Credential,
  headers: IncomingHttpHeaders,
): Record<string, string> {
  switch (kind) {
    case 'api-key':
      return { 'x-api-key': secret };
    case 'auth-token':
      return { authorization: `Bearer ${secret}` };
    case 'oauth-token': {
      const betas = new Set(String(headers['anthropic-beta'] ?? oauthBeta).split(','));
      return {
        authorization: `Bearer ${secret}`,
        'anthropic-beta': [...betas.add(oauthBeta)].join(','),
      };
    }
  }
}

function pick(headers: IncomingHttpHeaders, allowed: RegExp): Record<string, string> {
  const entries = Object.entries(headers).filter(([name]) => allowed.test(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

/** Answers with an error in the API's own shape; cuts an answer that has begun. */
function sendError(response: ServerResponse, status: number, type: string, message: string): void {
  if (response.writableEnded) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ type: 'error', error: { type, message } }));
}
