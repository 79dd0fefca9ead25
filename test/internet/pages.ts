/** Answers of hosts in the test internet: pages, files, redirects, large, slow and missing ones. */
import { createReadStream, statSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export function page(text: string, contentType = 'text/plain'): RequestListener {
  return bytes(Buffer.from(text), contentType);
}

export function bytes(content: Buffer, contentType = 'application/octet-stream'): RequestListener {
  const headers = { 'content-type': contentType, 'content-length': content.length };
  return (_, response) => {
    response.writeHead(200, headers).end(content);
  };
}

/** Redirects to any address, also to http://169.254.169.254/. */
export function redirect(location: string, status = 302): RequestListener {
  return (_, response) => {
    response.writeHead(status, { location }).end();
  };
}

/** Sends this many zero bytes, generated as they are read. The client may leave early. */
export function zeros(bytes: number): RequestListener {
  return async (_, response) => {
    response.writeHead(200, { 'content-length': bytes });
    await pipeline(Readable.from(chunks(bytes)), response).catch(() => {});
  };
}

function* chunks(bytes: number): Generator<Buffer> {
  const full = Buffer.alloc(65_536);
  for (let left = bytes; left > 0; left -= full.length) yield full.subarray(0, left);
}

/** Reads the whole request and answers with its number of bytes. */
export function sink(): RequestListener {
  return async (request, response) => {
    let bytes = 0;
    try {
      for await (const chunk of request) bytes += chunk.length;
      response.end(`${bytes} bytes\n`);
    } catch {
      // ECONNRESET: the client left before the end.
    }
  };
}

/** Sends the head at once and the body when the promise resolves. */
export function slow(until: Promise<string>): RequestListener {
  return async (_, response) => {
    response.writeHead(200).flushHeaders();
    response.end(await until);
  };
}

/** Never answers. */
export function silence(): RequestListener {
  return () => {};
}

/**
 * Serves the files of a folder as a site's `/folder/*`. `under` is the URL's folder, as `/files`.
 */
export function files(folder: string, under = ''): RequestListener {
  return (request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname.slice(under.length);
    const file = join(folder, decodeURIComponent(path));
    const found = statSync(file, { throwIfNoEntry: false });
    if (!found?.isFile()) return void response.writeHead(404).end('nothing here\n');
    response.writeHead(200, { 'content-length': found.size });
    createReadStream(file).pipe(response);
  };
}
