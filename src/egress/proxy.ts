/**
 * An HTTP proxy to the web: CONNECT for tunnels, absolute addresses for plain HTTP. A refusal gives
 * its reason also in the status line, since most programs show nothing else.
 * https://www.rfc-editor.org/rfc/rfc9110#name-connect
 */
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as openCall,
  type ServerResponse,
} from 'node:http';
import { type Duplex, pipeline } from 'node:stream';
import type { Logger } from 'pino';
import { clip } from '../text.ts';
import { type Caller, parseTarget, Refusal, type Web } from './web.ts';

export interface ProxyDependencies {
  web: Web;
  caller: Caller;
  log: Logger;
}

/** UTF-16 units of an address that go into the log. */
export const loggedUrlMax = 200;
/** Headers that belong to one connection: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const hopHeader =
  /^(?:connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|http2-settings)$/;

/** Serves a CONNECT request. Never rejects. */
export async function openTunnel(
  deps: ProxyDependencies,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
): Promise<void> {
  try {
    const upstream = await reach(deps, request.url ?? '');
    if (client.destroyed) {
      upstream.destroy();
      return;
    }
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    upstream.write(head);
    pipeline(client, upstream, client, () => {}); // A cut at one end cuts the other.
  } catch (error) {
    const { status, message } = asRefusal(deps, request, error);
    client.end(`HTTP/1.1 ${status} ${message}\r\nconnection: close\r\n\r\n${message}\n`);
    client.resume(); // The stream stays open until its end is read.
  }
}

/** Serves a request with an absolute address. Never rejects. */
export async function proxyRequest(
  deps: ProxyDependencies,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const address = request.url ?? '';
    if (!/^http:\/\//i.test(address) || !URL.canParse(address))
      throw new Refusal(400, 'Here go http: addresses; for https: ask with CONNECT.');
    if (!/^(?:chunked)?$/i.test(request.headers['transfer-encoding'] ?? ''))
      throw new Refusal(501, 'The only transfer coding supported here is chunked.');
    const { host } = new URL(address);
    // Unchanged: a proxy must not normalise paths.
    const path = address.replace(/^http:\/\/[^/?#]*/i, '').replace(/#.*$/, '');
    const upstream = await reach(deps, host);
    if (response.closed) {
      upstream.destroy();
      return;
    }
    const call = openCall({
      createConnection: () => upstream,
      method: request.method,
      path: path.startsWith('/') ? path : `/${path}`,
      headers: { ...requestHeaders(request.headers), host },
    });
    call.on('error', () => {}); // `close` follows.
    call.once('response', (answer) => {
      const { statusCode = 0, headers } = answer;
      try {
        if (statusCode < 200) throw new Error('a switch of protocols that nobody requested');
        response.writeHead(statusCode, endToEnd(headers));
        response.flushHeaders();
        pipeline(answer, response, () => {}); // If the answer is cut off, so is ours.
      } catch {
        call.destroy(); // Node accepts status codes and header names that it refuses to write.
      }
    });
    request.pipe(call);
    call.once('close', () => {
      if (!response.headersSent)
        sendRefusal(response, new Refusal(502, `${host} gave no proper answer.`));
      // Discards the rest of a request that has been answered early.
      request.resume();
    });
    response.once('close', () => call.destroy());
  } catch (error) {
    sendRefusal(response, asRefusal(deps, request, error));
  }
}

function reach({ web, caller }: ProxyDependencies, authority: string) {
  const target = parseTarget(authority);
  if (!target) throw new Refusal(400, 'That is no host and port.');
  return web.connect(caller, target);
}

function asRefusal({ log, caller }: ProxyDependencies, request: IncomingMessage, error: unknown) {
  const { method, url = '' } = request;
  const facts = { group: caller.group.folder, method, url: clip(url, loggedUrlMax) };
  if (error instanceof Refusal)
    log.info({ ...facts, reason: error.message }, 'refused on the wire');
  else log.error({ ...facts, err: error }, 'a request on the wire failed');
  return error instanceof Refusal
    ? error
    : new Refusal(500, 'The host could not handle this request.');
}

function requestHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const isChunked = headers['transfer-encoding'] !== undefined;
  return { ...endToEnd(headers), ...(isChunked && { 'transfer-encoding': 'chunked' }) };
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = new Set(
    (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()),
  );
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !hopHeader.test(name) && !named.has(name)),
  );
}

function sendRefusal(response: ServerResponse, { status, message }: Refusal): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, message, { 'content-type': 'text/plain' }).end(`${message}\n`);
}
