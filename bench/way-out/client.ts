/**
 * Uses the web and the model API in the same way inside and outside of a container. Arguments: what
 * to do, and the port of the proxy or `direct`. Prints the time in ms: the total for a stream, the
 * median for requests.
 */
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { median, took } from '../measure.ts';
import {
  askDown,
  askUp,
  httpPort,
  type Kind,
  kinds,
  modelCallBody,
  streamBytes,
  streamPort,
  webAddress,
  webHost,
} from './site.ts';

const requests = 150;
const warmUpRequests = 30;
const loopback = '127.0.0.1';

const [, , kindName, way] = process.argv;
const proxyPort = way === 'direct' ? undefined : Number(way);

const measurements: Record<Kind, () => Promise<number>> = {
  down: () => streamDown(),
  up: () => streamUp(),
  newTunnel: () => manyTimes(newTunnel),
  openTunnel: async () => {
    const agent = agentOn(await open(httpPort));
    return manyTimes(() => answerOf(request({ agent, host: webHost })));
  },
  plain: () => manyTimes(plain),
  modelCall: () => manyTimes(modelCall),
};
const kind = kinds.find((name) => name === kindName);
if (!kind) throw new Error(`there is no ${kindName} to measure`);
process.stdout.write(`${await measurements[kind]()}\n`);
process.exit();

async function manyTimes(work: () => Promise<unknown>): Promise<number> {
  const ms: number[] = [];
  for (let count = -warmUpRequests; count < requests; count += 1) {
    const tookMs = await took(work);
    if (count >= 0) ms.push(tookMs);
  }
  return median(ms);
}

/** Connects to the web: through a tunnel, or directly with the same look-up as the host does. */
async function open(port: number): Promise<Socket> {
  if (proxyPort === undefined) {
    const resolver = new Resolver();
    const both = [resolver.resolve4(webHost), resolver.resolve6(webHost)];
    const [found] = await Promise.allSettled(both);
    const address = found?.status === 'fulfilled' ? found.value[0] : undefined;
    if (address === undefined) throw new Error(`${webHost} was not found`);
    const socket = connect({ port, host: address, noDelay: true });
    await once(socket, 'connect');
    return socket;
  }
  const path = `${webHost}:${port}`;
  const call = request({ host: loopback, port: proxyPort, method: 'CONNECT', path, agent: false });
  call.end();
  const [answer, socket] = await once(call, 'connect');
  if (answer.statusCode !== 200) throw new Error(`the proxy said ${answer.statusMessage}`);
  return socket;
}

async function streamDown(): Promise<number> {
  const socket = await open(streamPort);
  return took(async () => {
    socket.write(askDown);
    let bytes = 0;
    socket.on('data', (data) => {
      bytes += data.length;
    });
    await once(socket, 'end');
    if (bytes !== streamBytes) throw new Error(`of the stream came ${bytes} bytes`);
  });
}

async function streamUp(): Promise<number> {
  const socket = await open(streamPort);
  const chunk = Buffer.alloc(64 * 1024);
  return took(async () => {
    const answered = once(socket, 'data');
    socket.write(askUp);
    for (let left = streamBytes; left > 0; left -= chunk.length)
      if (!socket.write(chunk.subarray(0, left))) await once(socket, 'drain');
    await answered; // The answer comes after all bytes have arrived.
  });
}

async function newTunnel(): Promise<void> {
  const socket = await open(httpPort);
  await answerOf(request({ createConnection: () => socket, host: webHost }));
  socket.destroy();
}

/** Keeps its connection to the proxy open. The web gets a new connection each time, as directly. */
async function plain(): Promise<void> {
  if (proxyPort === undefined) return newTunnel();
  const headers = { host: webHost };
  const path = `http://${webHost}/`;
  await answerOf(request({ agent: keptOpen, host: loopback, port: proxyPort, path, headers }));
}

async function modelCall(): Promise<void> {
  const host = proxyPort === undefined ? webAddress : loopback;
  const port = proxyPort ?? httpPort;
  const to = { agent: keptOpen, host, port, method: 'POST', path: '/v1/messages?beta=true' };
  await answerOf(request(to), modelCallBody);
}

const keptOpen = new Agent({ keepAlive: true, maxSockets: 1 });

function agentOn(socket: Socket): Agent {
  return Object.assign(new Agent({ keepAlive: true, maxSockets: 1 }), {
    createConnection: () => socket,
  });
}

async function answerOf(call: ClientRequest, body = ''): Promise<void> {
  call.end(body);
  const [response]: IncomingMessage[] = await once(call, 'response');
  if (response?.statusCode !== 200) throw new Error(`the answer is ${response?.statusCode}`);
  for await (const _ of response);
}
