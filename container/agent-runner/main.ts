/**
 * The program inside the container: connects the wire, the agent and the process. Standard output
 * belongs to the wire: nothing else may print to it.
 */
import { Console } from 'node:console';
import { inside } from '../../src/protocol.ts';
import { runAgent } from './runner.ts';
import { openWire } from './wire.ts';

/** Port of the model API and of the web proxy, on the container's own loopback. */
const port = 8100;
const url = `http://127.0.0.1:${port}`;

globalThis.console = new Console(process.stderr);
const wire = openWire({ input: process.stdin, output: process.stdout });
void wire.closed.then(() => process.exit(1));
await wire.listen(port);
// Some programs read only the lower-case names, some only the upper-case ones.
for (const name of ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'])
  process.env[name] = url;
for (const name of ['no_proxy', 'NO_PROXY']) process.env[name] = 'localhost,127.0.0.1,::1';
runAgent({
  dirs: inside,
  claudePath: `${inside.program}/claude`,
  modelUrl: url,
  modelSilenceMaxMs: 60_000,
  nodeOptions: `--require=${inside.program}/node-proxy.cjs`,
});
