/**
 * The benchmark, `npm run bench`. Options: `-- --json` prints JSON, `-- --rounds N` sets the number
 * of rounds, `-- --only NAME` measures one part. NANOCLAW_RUNTIME names the runtime, as for the host.
 * It reports missed goals, but does not fail because of them. The model, which answers at once, and
 * WhatsApp's server are doubles.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { detectRuntime } from '../src/runtimes/container-runtime.ts';
import { measureContainers } from './containers.ts';
import { measureConversation } from './conversation.ts';
import { measureGrowth } from './growth.ts';
import { projectDir } from './measure.ts';
import { measureOvertaking } from './overtaking.ts';
import { type Figures, missedGoals, reportOf } from './report.ts';
import { measureRuntimes } from './runtimes.ts';
import { measureStoring } from './storing.ts';
import { measureWayOut } from './way-out.ts';
import { measureWhatsApp } from './whatsapp.ts';

/** Fewer cold rounds than warm ones: each takes ten times as long, and they vary less. */
const coldShare = 0.25;
const usual = [
  'conversation',
  'whatsApp',
  'overtaking',
  'containers',
  'runtimes',
  'wayOut',
  'store',
] as const;
const parts = [...usual, 'growth'] as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '24' },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`npm run bench -- [--json] [--rounds N] [--only ${parts.join('|')}]\n`);
    return;
  }
  const warm = z.coerce.number().int().min(1).max(1000).parse(values.rounds);
  const cold = Math.ceil(warm * coldShare);
  const only = z.enum(parts).optional().parse(values.only);
  const wants = (part: (typeof usual)[number]) => only === undefined || only === part;
  // The handlers of `exit` stop the host.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  const { NANOCLAW_RUNTIME: wanted = null } = process.env;
  const runtime = await detectRuntime(wanted, projectDir, process.env);
  const { name } = runtime;
  const dir = mkdtempSync(join(tmpdir(), 'nanoclaw-bench-'));
  try {
    const figures: Figures = { runtime: name };
    if (wants('conversation'))
      Object.assign(figures, await measureConversation(dir, name, { cold, warm }));
    if (wants('whatsApp')) figures.whatsApp = await measureWhatsApp(dir, name, { cold, warm });
    if (wants('overtaking')) figures.overtaking = await measureOvertaking(dir, name);
    if (wants('containers')) figures.containers = await measureContainers(runtime);
    if (wants('runtimes')) figures.runtimes = await measureRuntimes(dir, cold);
    if (wants('wayOut')) figures.wayOut = await measureWayOut(dir);
    if (wants('store')) figures.store = await measureStoring(dir);
    if (only === 'growth') figures.growth = await measureGrowth(dir);
    const report = values.json
      ? JSON.stringify({ ...figures, missed: missedGoals(figures) })
      : reportOf(figures);
    process.stdout.write(`${report}\n`);
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

await main();
