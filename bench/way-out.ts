/**
 * Compares a container's way to the web and to the model API over the wire with a direct
 * connection. The host refuses this machine's own addresses, so the measurement runs in a network
 * namespace in which public addresses lead here, like the tests. Without such a namespace it
 * reports why.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { projectDir } from './measure.ts';

/** Starts node in a network namespace of its own. */
const launcher = join(projectDir, 'scripts/own-internet.sh');

const streamSchema = z.object({
  share: z.number(),
  wireMbPerSecond: z.number(),
  directMbPerSecond: z.number(),
});
const requestSchema = z.object({ addedMs: z.number(), wireMs: z.number(), directMs: z.number() });
const figuresSchema = z.object({
  down: streamSchema,
  up: streamSchema,
  newTunnel: requestSchema,
  openTunnel: requestSchema,
  plain: requestSchema,
  modelCall: requestSchema,
});

/** `dir` is a new folder for the ledger. */
export async function measureWayOut(
  dir: string,
): Promise<z.infer<typeof figuresSchema> | { notHere: string }> {
  const env = { ...process.env, NANOCLAW_TEST_NODE: process.execPath };
  const trial = spawnSync(launcher, ['-e', '0'], { env, encoding: 'utf8' });
  if (trial.status !== 0) return { notHere: `no network namespace: ${trial.stderr?.trim()}` };
  const program = join(projectDir, 'dist/bench-host.js');
  const child = spawn(launcher, [program, dir], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill());
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error('the way out could not be measured');
  return figuresSchema.parse(JSON.parse(output));
}
