/** The container's side of a wire on a free port of this machine. Prints the port to stderr. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { openWire } from '../../../container/agent-runner/wire.ts';

const probe = createServer().listen(0, '127.0.0.1');
await once(probe, 'listening');
const address = probe.address();
if (address === null || typeof address === 'string') throw new Error('no free port');
probe.close();
await once(probe, 'close');
const wire = openWire({ input: process.stdin, output: process.stdout });
await wire.listen(address.port);
console.error(address.port);
await wire.closed;
process.exit(0);
