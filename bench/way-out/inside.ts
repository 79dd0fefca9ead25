/**
 * Runs in the container: the container's side of the wire, and the client in a process of its own,
 * like every program of an agent. The client prints to standard error, because standard output
 * belongs to the wire.
 */
import { spawn } from 'node:child_process';
import { openWire } from '../../container/agent-runner/wire.ts';

const port = 8100;
const [, , program = '', kind = ''] = process.argv;
const wire = openWire({ input: process.stdin, output: process.stdout });
void wire.closed.then(() => process.exit(1));
await wire.listen(port);
const client = spawn(process.execPath, [program, kind, String(port)], { stdio: ['ignore', 2, 2] });
client.once('exit', (code) => process.exit(code ?? 1));
