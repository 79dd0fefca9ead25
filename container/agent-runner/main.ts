/**
 * The program inside the container: joins the wire, the agent and the process. Standard
 * output belongs to the wire, so nothing else here may ever print to it.
 */
import { Console } from 'node:console';
import { inside } from '../../src/protocol.ts';
import { runAgent } from './runner.ts';
import { openWire } from './wire.ts';

/** Where `claude` finds the model API; the container's loopback is its own. */
const modelPort = 8100;

globalThis.console = new Console(process.stderr);
const wire = openWire({ input: process.stdin, output: process.stdout });
void wire.closed.then(() => process.exit(1));
await wire.listen(modelPort);
runAgent({
  dirs: inside,
  claudePath: `${inside.program}/claude`,
  modelUrl: `http://127.0.0.1:${modelPort}`,
  modelSilenceMaxMs: 60_000,
});
