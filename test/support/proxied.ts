/**
 * The proxy as a container's programs meet it, over a real wire, with a real internet behind it,
 * and clients and servers that send exactly the bytes that a test wants.
 */
import { once } from 'node:events';
import {
  type ClientRequest,
  type IncomingMessage,
  type RequestListener,
  type RequestOptions,
  request,
} from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished } from 'vitest';
import { openModelApi } from '../../src/egress/model-api.ts';
import { Web } from '../../src/egress/web.ts';
import { Internet } from '../internet/internet.ts';
import { startScriptedModel } from '../scripted-model/scripted-model.ts';
import { openWayOut } from './way-out.ts';
import { openTestLog, openWireContainer, type WireContainer } from './wire-container.ts';

/** The wire of a group that may reach every host, and the internet behind it. */
export async function openProxy(WebClass = Web) {
  const internet = await Internet.start();
  const model = await startScriptedModel();
  onTestFinished(() => model.close());
  const api = openModelApi({ baseUrl: model.url, credential: { kind: 'api-key', secret: 'x' } });
  const wayOut = openWayOut(true, WebClass);
  const lines: string[] = [];
  const log = openTestLog((line) => lines.push(line));
  const deps = { ...wayOut, model: api, log };
  const container = await openWireContainer(deps);
  return { internet, container, wayOut, lines };
}

/** A request to the proxy that still needs its `end`. */
export function ask(
  container: WireContainer,
  url: string,
  options: RequestOptions = {},
): ClientRequest {
  const headers = { host: new URL(url).host, ...options.headers };
  const call = request({ ...options, port: container.port, path: url, headers });
  call.on('error', () => {}); // Whoever awaits the response gets the error.
  return call;
}

export async function get(
  container: WireContainer,
  url: string,
  options: RequestOptions = {},
  body?: string | Buffer,
): Promise<IncomingMessage> {
  const call = ask(container, url, options);
  call.end(body);
  const [response] = await once(call, 'response');
  return response;
}

export async function read(response: IncomingMessage) {
  return { status: response.statusCode, body: await text(response) };
}

/** A TCP connection to the proxy, for bytes of the test's own. */
export async function dial(container: WireContainer): Promise<Socket> {
  const socket = connect({ port: container.port, host: '127.0.0.1', allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** A server of bare TCP at 13.0.0.1, which sends exactly what the test wants. */
export async function bareHost(
  internet: Internet,
  name: string,
  serve: (socket: Socket) => unknown,
  port = 80,
): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {}); // The tests cut connections at will.
    serve(socket);
  });
  onTestFinished(() => void server.close());
  server.listen(port, '13.0.0.1');
  await once(server, 'listening');
  internet.names.declare(name, ['13.0.0.1']);
}

/** Answers with the request itself as JSON. */
export const echo: RequestListener = async (incoming, response) => {
  const body = await text(incoming);
  const { method, url, rawHeaders, trailers } = incoming;
  response.end(JSON.stringify({ method, url, rawHeaders, body, trailers }));
};

/** Raw headers as pairs of a lower-case name and its value. */
export function pairs(raw: string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, index) => [
    String(raw[2 * index]).toLowerCase(),
    String(raw[2 * index + 1]),
  ]);
}

/** Resolves to the client's end of a tunnel once the proxy has opened it. */
export async function openTunnel(
  container: WireContainer,
  authority: string,
  head = '',
): Promise<Socket> {
  const socket = await dial(container);
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n${head}`);
  const agreed = 'HTTP/1.1 200 Connection established\r\n\r\n';
  let said = '';
  while (said.length < agreed.length) {
    await once(socket, 'readable');
    said += socket.read(agreed.length - said.length) ?? '';
  }
  expect(said).toBe(agreed);
  return socket;
}

/** Everything up to the other side's end. Our side stays open, which `text` would close. */
export async function heard(socket: Socket): Promise<string> {
  let said = '';
  socket.setEncoding('latin1').on('data', (part) => {
    said += part;
  });
  await once(socket, 'end');
  return said;
}
