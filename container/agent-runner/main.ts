/**
 * The program inside the container: joins the wire, the agent and the process. Standard
 * output belongs to the wire, so nothing else here may ever print to it.
 */
import { Console } from 'node:console';
import { inside } from '../../src/protocol.ts';
import { exitCodes, runAgent } from './runner.ts';
import { openWire } from './wire.ts';

/** Where `claude` finds the model API; the container's loopback is its own. */
const modelPort = 8100;

globalThis.console = new Console(process.stderr);
const wire = openWire({ input: process.stdin, output: process.stdout });
void wire.closed.then(() => process.exit(exitCodes.wireClosed));
await wire.listen(modelPort);
runAgent({
  groupDir: inside.group,
  globalDir: inside.global,
  inboxDir: inside.inbox,
  outboxDir: inside.outbox,
  claudePath: `${inside.program}/claude`,
  modelUrl: `http://127.0.0.1:${modelPort}`,
  environment: process.env,
  modelSilenceMaxMs: 120_000,
  closeTimeoutMs: 1500,
});
