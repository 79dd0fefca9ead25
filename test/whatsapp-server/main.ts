/**
 * The stand-in server as a process. It prints its addresses as one line of JSON and serves until it
 * is killed, or until its parent ends if that started it with an IPC channel (`stdio: 'ipc'`).
 * `--account` takes the JSON of the account that gets a linked device.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Curve } from 'baileys';
import selfsigned from 'selfsigned';
import { WebSocketServer } from 'ws';
import { ClientConnection } from './connection.ts';
import { createControl } from './control.ts';
import { certificateChain, NoiseResponder } from './noise.ts';
import { personSchema } from './observing.ts';
import { WhatsAppWorld } from './world.ts';

const defaultAccount = { number: '15550000001', lid: '900000000000001', name: 'Assistant' };
const yearMs = 365 * 24 * 60 * 60_000;

// libsignal prints its sessions with their keys.
for (const method of ['log', 'info', 'warn', 'error'] as const) console[method] = () => {};

const { values } = parseArgs({ options: { account: { type: 'string' } } });
const { private: key, cert } = await selfsigned.generate(
  [{ name: 'commonName', value: 'stand-in WhatsApp media host' }],
  {
    keyType: 'ec',
    notAfterDate: new Date(Date.now() + yearMs),
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  },
);
const account = values.account ? personSchema.parse(JSON.parse(values.account)) : defaultAccount;
const world = new WhatsAppWorld({ key, cert }, account);
await world.media.listen();

const [root, staticKey] = [Curve.generateKeyPair(), Curve.generateKeyPair()];
const certificate = certificateChain(root, staticKey);
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
sockets.on('connection', (socket) => {
  world.attempts += 1;
  world.changed();
  if (world.faults.refusesConnections) socket.terminate();
  else new ClientConnection(socket, new NoiseResponder(staticKey, certificate), world);
});
const control = createControl(world).listen(0, '127.0.0.1');
await Promise.all([once(sockets, 'listening'), once(control, 'listening')]);

const dir = mkdtempSync(join(tmpdir(), 'whatsapp-server-'));
const caPath = join(dir, 'ca.pem');
writeFileSync(caPath, cert);
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
for (const end of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(end, () => process.exit());
const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
process.stdout.write(
  `${JSON.stringify({
    controlUrl: `http://127.0.0.1:${portOf(control)}`,
    webSocketUrl: `ws://127.0.0.1:${portOf(sockets)}/ws/chat`,
    caPath,
    noiseRootHex: Buffer.from(root.public).toString('hex'),
  })}\n`,
);
