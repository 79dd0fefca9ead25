/**
 * The host's end of a container's only wire: one HTTP/2 session over the child's stdout and
 * stdin. It carries calls of the model API's few paths, attaches the real credential to them
 * and streams the answers back. Everything else is refused, in words that the agent can pass
 * on. What comes from the peer is hostile; whatever it does ends at most its own wire.
 */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest } from 'node:http';
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from 'node:http2';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline, Transform } from 'node:stream';
import type { Logger } from 'pino';
import type { Credential, ModelAccess } from './config.ts';
import { deferred } from './deferred.ts';
import { type Stdio, stdioDuplex } from './stdio-duplex.ts';

const bounds = {
  /** Calls at once on one wire; more wait in the container. */
  streamsMax: 64,
  /** The API's own limit is 32 MB. */
  requestBytesMax: 40 * 1024 * 1024,
  headerBytesMax: 32 * 1024,
  headersMax: 100,
  /** Bytes of all requests that wait here for the API; one round trip fetches as many. */
  windowBytes: 1024 * 1024,
  /** Memory of the session in MB, which is node's unit; above it new streams are refused. */
  sessionMegabytesMax: 16,
  /** Frames that break the protocol, and streams refused for the limits, before the end. */
  offencesMax: 100,
  /** A call on which nothing moves, in either direction. */
  silenceMaxMs: 15 * 60 * 1000,
  /** A kept connection to the API; it is also the longest wait for one. */
  connectionIdleMs: 60 * 1000,
  /** Shorter credentials are words such as `ollama`, no secrets, and may be part of answers. */
  secretLengthMin: 12,
};

/** Exactly these paths, in printable ASCII: no encodings, no dots, no second way to say it. */
const allowedPath = /^\/v1\/messages(?:\/count_tokens)?(?:\?[!-"$-~]*)?$/;
const allowedRequestHeader =
  /^(?:accept|content-length|content-type|user-agent|x-app|anthropic-.+|x-stainless-.+|x-claude-code-.+)$/;
const allowedResponseHeader =
  /^(?:content-type|request-id|retry-after|retry-after-ms|x-should-retry|anthropic-.+)$/;
/** The API takes OAuth tokens only from those who say this. */
const oauthBeta = 'oauth-2025-04-20';

export interface Wire {
  /** Resolves, never rejects, when the session is over, whoever ended it. */
  broken: Promise<Error>;
  close(): void;
}

/** Serves the session until the peer breaks it or `close` is called. */
export function serveWire(io: Stdio, options: { model: ModelAccess; log: Logger }): Wire {
  const { model, log } = options;
  const broken = deferred<Error>();
  const upstream = openUpstream(model);
  const end = (reason: Error) => {
    broken.resolve(reason);
    // The session and its streams, and with them the calls, end with what carries them.
    duplex.destroy();
    upstream.close();
  };
  const duplex = stdioDuplex(io, end);
  const session = performServerHandshake(duplex, {
    maxSessionMemory: bounds.sessionMegabytesMax,
    maxHeaderListPairs: bounds.headersMax,
    maxSessionInvalidFrames: bounds.offencesMax,
    maxSessionRejectedStreams: bounds.offencesMax,
    settings: {
      maxConcurrentStreams: bounds.streamsMax,
      maxHeaderListSize: bounds.headerBytesMax,
      initialWindowSize: bounds.windowBytes,
    },
  });
  session.setLocalWindowSize(bounds.windowBytes);
  session.on('error', end);
  session.once('close', () => end(new Error('The session is over.')));
  session.once('goaway', () => end(new Error('The container has ended the session.')));
  session.on('stream', (stream, headers) => {
    serve(stream, headers, upstream, log);
  });
  return { broken: broken.promise, close: () => end(new Error('The host closed the wire.')) };
}

interface Upstream {
  secret: string;
  request(path: string, headers: IncomingHttpHeaders): ClientRequest;
  close(): void;
}

/** The way to the API at `model.baseUrl`, which may have a path of its own (a gateway). */
function openUpstream(model: ModelAccess): Upstream {
  const base = new URL(model.baseUrl);
  const isTls = base.protocol === 'https:';
  const kept = { keepAlive: true, timeout: bounds.connectionIdleMs };
  const agent = isTls ? new HttpsAgent(kept) : new HttpAgent(kept);
  const prefix = base.href.replace(/[?#].*$/, '').replace(/\/$/, '');
  return {
    secret: model.credential.secret,
    request: (path, headers) =>
      (isTls ? httpsRequest : httpRequest)(prefix + path, {
        method: 'POST',
        agent,
        headers: {
          ...pick(headers, allowedRequestHeader),
          ...credentialHeaders(model.credential, headers),
          // An answer in clear can be searched for the credential.
          'accept-encoding': 'identity',
        },
      }),
    close: () => agent.destroy(),
  };
}

function credentialHeaders(
  { kind, secret }: Credential,
  headers: IncomingHttpHeaders,
): Record<string, string> {
  const beta = String(headers['anthropic-beta'] ?? '');
  switch (kind) {
    case 'api-key':
      return { 'x-api-key': secret };
    case 'auth-token':
      return { authorization: `Bearer ${secret}` };
    case 'oauth-token':
      return {
        authorization: `Bearer ${secret}`,
        'anthropic-beta': beta.split(',').includes(oauthBeta)
          ? beta
          : [beta, oauthBeta].filter(Boolean).join(','),
      };
  }
}

function serve(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  upstream: Upstream,
  log: Logger,
): void {
  // A cancelled or cut call; `close` follows and ends the other side.
  stream.on('error', () => {});
  stream.setTimeout(bounds.silenceMaxMs, () => stream.close(constants.NGHTTP2_CANCEL));
  const path = headers[':path'] ?? '';
  const refusal = findRefusal(headers, path);
  if (refusal) {
    log.warn({ method: headers[':method'], path: path.slice(0, 200) }, 'refused on the wire');
    sendError(stream, ...refusal);
    return;
  }
  try {
    forward(stream, upstream.request(path, headers), upstream.secret);
  } catch (error) {
    // Node refuses header values that HTTP/1 cannot carry.
    log.warn({ code: codeOf(error) }, 'unusable request on the wire');
    sendError(stream, 400, 'invalid_request_error', 'The headers of this request are not valid.');
  }
}

type Refusal = [status: number, type: string, message: string];

function findRefusal(headers: IncomingHttpHeaders, path: string): Refusal | undefined {
  if (headers[':method'] === 'CONNECT' || headers[':authority'] !== 'nanoclaw')
    return [
      403,
      'permission_error',
      'This container has no network: only the model API can be reached from here.',
    ];
  if (headers[':method'] !== 'POST' || !allowedPath.test(path))
    return [403, 'permission_error', 'Of the model API, only POST /v1/messages is open from here.'];
  if (Number(headers['content-length'] ?? 0) > bounds.requestBytesMax) return tooLarge;
  return undefined;
}

const tooLarge: Refusal = [413, 'request_too_large', 'The request is larger than the API allows.'];

function forward(stream: ServerHttp2Stream, call: ClientRequest, secret: string): void {
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= bounds.requestBytesMax) return;
    call.destroy();
    sendError(stream, ...tooLarge);
  });
  stream.pipe(call);
  stream.once('close', () => call.destroy());
  call.on('error', (error) => {
    const message = `The model API cannot be reached (${codeOf(error)}).`;
    sendError(stream, 502, 'api_error', message);
  });
  call.once('response', (answer) => {
    if (stream.destroyed || stream.headersSent) {
      answer.destroy();
      return;
    }
    const headers = pick(answer.headers, allowedResponseHeader, (value) => hide(value, secret));
    stream.respond({ ...headers, ':status': answer.statusCode ?? 502 });
    pipeline(answer, redact(secret), stream, (error) => {
      // A cut answer has been cut here too; a complete one ends the upload.
      if (!error && !stream.readableEnded) stream.close();
    });
  });
}

/** Answers with an error in the API's own shape; cuts the stream when an answer has begun. */
function sendError(stream: ServerHttp2Stream, status: number, type: string, message: string): void {
  if (stream.destroyed) return;
  if (stream.headersSent) {
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  stream.respond({ ':status': status, 'content-type': 'application/json' });
  stream.end(JSON.stringify({ type: 'error', error: { type, message } }));
  // What is still to come of the request is not waited for.
  stream.close();
}

/** Lets bytes through without `secret`: a gateway may echo what it was sent. */
function redact(secret: string): Transform {
  let held = '';
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      // latin1 keeps bytes as they are; the secret went into a header, so it is ASCII.
      const text = hide(held + chunk.toString('latin1'), secret);
      let keep = Math.min(secret.length - 1, text.length);
      while (!secret.startsWith(text.slice(text.length - keep))) keep -= 1;
      held = text.slice(text.length - keep);
      done(null, Buffer.from(text.slice(0, text.length - keep), 'latin1'));
    },
    flush(done) {
      done(null, Buffer.from(held, 'latin1'));
    },
  });
}

function hide(text: string, secret: string): string {
  return secret.length < bounds.secretLengthMin ? text : text.replaceAll(secret, '[redacted]');
}

function pick(
  headers: IncomingHttpHeaders,
  allowed: RegExp,
  clean = (value: string) => value,
): Record<string, string> {
  const entries = Object.entries(headers).filter(([name]) => allowed.test(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, clean(String(value))]));
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
