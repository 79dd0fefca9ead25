/** The media host: an HTTPS server that stores uploaded encrypted files and serves them. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Faults } from './faults.ts';

export class MediaHost {
  /** `host:port`. */
  name = '';
  readonly #server: Server;
  /** The number of downloads and uploads that stopped in the middle. */
  stalledFiles = 0;
  readonly #faults: Faults;
  readonly #changed: () => void;
  readonly #files = new Map<string, Buffer>();
  readonly #stalled: (() => void)[] = [];

  constructor(tls: { key: string; cert: string }, faults: Faults, changed: () => void) {
    this.#faults = faults;
    this.#changed = changed;
    this.#server = createServer(tls, (request, response) => void this.#serve(request, response));
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.name = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Returns the path of the stored file. */
  put(file: Buffer): string {
    const path = `/v/t62/${randomBytes(8).toString('hex')}`;
    this.#files.set(path, file);
    return path;
  }

  get(path: string): Buffer | undefined {
    return this.#files.get(path);
  }

  /** Deletes a file. */
  expire(path: string): Buffer | undefined {
    const file = this.#files.get(path);
    this.#files.delete(path);
    return file;
  }

  /** Goes on with what stopped in the middle. */
  resume(): void {
    for (const goOn of this.#stalled.splice(0)) goOn();
  }

  url(path: string): string {
    return `https://${this.name}${path}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?')[0] ?? '';
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const stored = this.put(Buffer.concat(chunks));
      response.setHeader('content-type', 'application/json');
      const answer = JSON.stringify({ url: this.url(stored), direct_path: stored });
      if (this.#faults.stalledUploads === 0) response.end(answer);
      else {
        this.#faults.stalledUploads -= 1;
        this.#stall(() => response.end(answer));
      }
      return;
    }
    this.#give(this.#files.get(path), response);
  }

  #give(file: Buffer | undefined, response: ServerResponse): void {
    const fault = this.#faults.mediaAnswers.shift();
    if (typeof fault === 'number') response.writeHead(fault).end();
    else if (!file) response.writeHead(410).end();
    else if (fault === undefined) response.end(file);
    else {
      response.writeHead(200, { 'content-length': file.length });
      const half = file.length >> 1;
      response.write(file.subarray(0, half));
      if (fault === 'truncate') setTimeout(() => response.destroy(), 50);
      else this.#stall(() => response.end(file.subarray(half)));
    }
  }

  #stall(goOn: () => void): void {
    this.stalledFiles += 1;
    this.#stalled.push(goOn);
    this.#changed();
  }
}
