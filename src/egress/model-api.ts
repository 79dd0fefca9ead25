/**
 * Forwards calls to the few allowed paths of the model API and attaches the real credential, which
 * goes nowhere else. Drops the agent's credential headers and follows no redirect.
 */
import {
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as openCall,
  type ServerResponse,
} from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { type Duplex, PassThrough, pipeline } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Credential, ModelAccess } from '../config.ts';
import type { Account } from './ledger.ts';
import { Redaction } from './redaction.ts';

const bounds = {
  /** The API's own limit is 32 MB. */
  requestBytesMax: 40 * 1024 * 1024,
  upstreamIdleMs: 60 * 1000,
};

/**
 * Only these paths, in printable ASCII, without encodings or dots: there is one way to write each.
 */
const allowedPath = /^\/v1\/messages(?:\/count_tokens)?(?:\?[!-"$-~]*)?$/;
const allowedRequestHeader =
  /^(?:accept|content-length|content-type|user-agent|x-app|anthropic-.+|x-stainless-.+|x-claude-code-.+)$/;
const allowedResponseHeader =
  /^(?:content-type|request-id|retry-after|retry-after-ms|x-should-retry|anthropic-.+)$/;
/** Characters of a secret that is replaced. Local servers take any short word for a key. */
const secretMin = { strict: 6, ofAnswers: 12 };
/** For gateways that compress although they were asked not to. */
const decoders: Partial<Record<string, () => Duplex>> = {
  identity: () => new PassThrough(),
  gzip: createGunzip,
  br: createBrotliDecompress,
  deflate: createInflate,
};
/** The API accepts OAuth tokens only with this beta header. */
const oauthBeta = 'oauth-2025-04-20';

/** The model API and its open connections, shared by all wires. */
export interface ModelApi extends ModelAccess {
  agent: HttpAgent;
  /** For headers and errors, and for good answers, where a short one may be a word. */
  redaction: Record<'strict' | 'ofAnswers', Redaction>;
}

export function openModelApi(access: ModelAccess): ModelApi {
  const { protocol, password } = new URL(access.baseUrl);
  const Agent = protocol === 'https:' ? HttpsAgent : HttpAgent;
  const secrets = [access.credential.secret, decodeURIComponent(password)];
  return {
    ...access,
    agent: new Agent({ keepAlive: true, timeout: bounds.upstreamIdleMs }),
    redaction: {
      strict: new Redaction(secrets, secretMin.strict),
      ofAnswers: new Redaction(secrets, secretMin.ofAnswers),
    },
  };
}

export function isModelCall({ method, url = '' }: IncomingMessage): boolean {
  return method === 'POST' && allowedPath.test(url);
}

/** Forwards a call and counts the bytes of request and answer. */
export function forward(
  request: IncomingMessage,
  response: ServerResponse,
  model: ModelApi,
  account: Account,
): void {
  const entry = account.open(model.label ?? new URL(model.baseUrl).host);
  if (!entry) {
    sendError(response, 429, 'rate_limit_error', 'Too many hosts in one turn.');
    return;
  }
  const call = openCall(model.baseUrl.replace(/\/$/, '') + request.url, {
    method: 'POST',
    agent: model.agent,
    headers: {
      ...pick(request.headers, allowedRequestHeader),
      ...credentialHeaders(model.credential, request.headers),
      // What is compressed cannot be searched for the credential.
      'accept-encoding': 'identity',
    },
  });
  call.on('error', (error: NodeJS.ErrnoException) => {
    sendError(response, 502, 'api_error', `The model API cannot be reached (${error.code}).`);
  });
  call.once('response', (answer) => {
    answer.on('data', (chunk: Buffer) => entry.add({ bytesDown: chunk.length }));
    passOn(answer, response, model.redaction);
  });
  response.once('close', () => call.destroy());
  let bytes = 0;
  let isConnected = false;
  // Counts only once connected: before that, nothing has left.
  const connected = () => {
    isConnected = true;
    entry.add({ requests: 1, bytesUp: bytes });
  };
  call.once('socket', (socket) => {
    if (socket.connecting) socket.once('connect', connected);
    else connected();
  });
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (isConnected) entry.add({ bytesUp: chunk.length });
    if (bytes <= bounds.requestBytesMax) return;
    call.destroy();
    sendError(response, 413, 'request_too_large', 'The request is larger than the API allows.');
  });
  request.pipe(call);
  // Discards the rest of a request that has been answered early.
  call.once('close', () => request.resume());
}

/** Passes an answer on without the credential. If it is cut off, so is ours. */
function passOn(
  answer: IncomingMessage,
  response: ServerResponse,
  { strict, ofAnswers }: ModelApi['redaction'],
): void {
  const { statusCode = 502, headers } = answer;
  const decode = decoders[headers['content-encoding']?.toLowerCase() || 'identity'];
  if (!decode) {
    answer.destroy();
    sendError(response, 502, 'api_error', 'The model API answers in an unknown encoding.');
    return;
  }
  const said = Object.entries(pick(headers, allowedResponseHeader));
  const clean = said
    .filter(([name]) => strict.replace(name) === name)
    .map(([name, value]) => [name, strict.replace(value)]);
  response.writeHead(statusCode, Object.fromEntries(clean));
  // Without this, Node holds the headers back until the first byte of the body.
  response.flushHeaders();
  const redaction = statusCode < 300 ? ofAnswers : strict;
  pipeline(answer, decode(), redaction.stream(), response, () => {});
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

/** Answers with an error in the API's own format. Cuts an answer that has begun. */
export function sendError(
  response: ServerResponse,
  status: number,
  type: string,
  message: string,
): void {
  if (response.writableEnded) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ type: 'error', error: { type, message } }));
}
