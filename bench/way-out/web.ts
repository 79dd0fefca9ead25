/**
 * The web and the model API: a name server, small HTTP answers, and a stream. They run in their own
 * process, so that they slow both sides down equally. The process ends when its input ends.
 */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { NameServer } from '../../test/internet/name-server.ts';
import { askDown, httpPort, streamBytes, streamPort, webAddress, webHost } from './site.ts';

const chunk = Buffer.alloc(64 * 1024);

const names = new NameServer();
names.declare(webHost, [webAddress]);
await names.start();
const http = createHttpServer(async (request, response) => {
  for await (const _ of request);
  response.end('{"answer":"a small one"}');
});
// Keeps the connection of a client that pauses between its requests.
http.keepAliveTimeout = 0;
http.listen(httpPort, webAddress);
const streams = createServer((socket) => void serveStream(socket));
streams.listen(streamPort, webAddress);
await Promise.all([once(http, 'listening'), once(streams, 'listening')]);
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => process.exit());

async function serveStream(socket: Socket): Promise<void> {
  socket.on('error', () => {}); // A client may close once it has its answer.
  const [asked] = await once(socket, 'data');
  if (String(asked).startsWith(askDown)) {
    Readable.from(chunks()).pipe(socket);
    return;
  }
  let leftBytes = streamBytes + 1 - asked.length; // The first byte is the request.
  socket.on('data', (data) => {
    leftBytes -= data.length;
    if (leftBytes === 0) socket.end('all');
  });
}

function* chunks(): Generator<Buffer> {
  for (let left = streamBytes; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
}
