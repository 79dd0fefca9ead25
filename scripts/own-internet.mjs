/**
 * Whether tests can have an internet of their own, which own-internet.sh gives a process, and what
 * that needs. Where they cannot, the tests that need it are skipped and counted. Never touches the
 * machine's own network.
 */
import { join } from 'node:path';
import { findProgram } from '../src/runtimes/table.mjs';
import { run } from './run.mjs';

/** Starts the node that NANOCLAW_TEST_NODE names in a network namespace. */
export const launcher = join(import.meta.dirname, 'own-internet.sh');
const probeTimeoutMs = 15_000;

/** Listens on two public addresses, on a port that needs root elsewhere. */
const probe = `
  for (const address of ['11.0.0.1', '2600:11::1'])
    require('net').createServer().listen(80, address, function () { this.close(); });`;

/** Why tests cannot have an internet of their own here; undefined when they can. */
export async function internetComplaint(
  platform = process.platform,
  searchPath = process.env.PATH,
) {
  if (platform !== 'linux') return 'only Linux has network namespaces';
  if (!findProgram('ip', searchPath)) return 'ip is missing (the package iproute2)';
  const { code, output } = await run(launcher, ['-e', probe], {
    env: { NANOCLAW_TEST_NODE: process.execPath, PATH: searchPath },
    timeoutMs: probeTimeoutMs,
  });
  return code === 0 ? undefined : output.split('\n').at(-1);
}
