/**
 * The host's side of the way out, which also measures. It starts the web, and then clients, in
 * alternation in a container whose wire leads here and directly on this machine. It runs in a
 * network namespace in which the web's address is this machine. Prints the figures as JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { systemClock } from '../../src/clock.ts';
import { findGroup, saveGroup } from '../../src/db/groups.ts';
import { Store } from '../../src/db.ts';
import { Ledger } from '../../src/egress/ledger.ts';
import { openModelApi } from '../../src/egress/model-api.ts';
import { Web } from '../../src/egress/web.ts';
import { serveWire, type WireDependencies } from '../../src/egress/wire.ts';
import { detectRuntime, spawnLaunch } from '../../src/runtimes/container-runtime.ts';
import type { Runtime } from '../../src/runtimes/container-spec.ts';
import { containerSpec, instance } from '../containers.ts';
import { median, projectDir, rounded, say } from '../measure.ts';
import { type Kind, kinds, streamBytes, webAddress } from './site.ts';

const rounds = 5;
const [, , dir = ''] = process.argv;
const programOf = (name: string) => join(projectDir, `dist/bench-${name}.js`);

const web = spawn(process.execPath, [programOf('web')], { stdio: ['pipe', 'pipe', 'inherit'] });
await once(web.stdout, 'data');
const runtime = await detectRuntime('bubblewrap', projectDir, process.env);
// On a signal it removes its containers and their limits.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void runtime.reap(instance).then(() => process.exit(1)));
const wayOut = openWayOut();
const ms = new Map(kinds.map((kind) => [kind, { wire: [] as number[], direct: [] as number[] }]));
for (let round = 1; round <= rounds; round += 1) {
  say(`the way out, ${round} of ${rounds}`);
  for (const [kind, { wire, direct }] of ms) {
    const sides = [
      async () => wire.push(await byWire(runtime, wayOut, kind, round)),
      async () => direct.push(await directly(kind)),
    ];
    for (const side of round % 2 ? sides : sides.toReversed()) await side();
  }
}
web.stdin.end();
process.stdout.write(JSON.stringify(Object.fromEntries(kinds.map((kind) => [kind, of(kind)]))));
process.exit();

function of(kind: Kind) {
  const [wireMs, directMs] = [median(ms.get(kind)?.wire ?? []), median(ms.get(kind)?.direct ?? [])];
  if (kind !== 'down' && kind !== 'up')
    return {
      addedMs: rounded(wireMs - directMs),
      wireMs: rounded(wireMs),
      directMs: rounded(directMs),
    };
  const megabytesPerSecond = (tookMs: number) => Math.round(streamBytes / 1000 / tookMs);
  return {
    share: rounded(directMs / wireMs),
    wireMbPerSecond: megabytesPerSecond(wireMs),
    directMbPerSecond: megabytesPerSecond(directMs),
  };
}

/** The way out as the host composes it for a group with the whole web open. */
function openWayOut(): WireDependencies {
  const store = new Store(join(dir, 'way-out.db'));
  const names = { folder: 'main', chatId: 'terminal:main', name: 'main' };
  saveGroup(store, { ...names, isMain: true, requiresTrigger: false, triggeredBy: null });
  const group = findGroup(store, 'main');
  if (!group) throw new Error('there is no group');
  const account = new Ledger({ store, clock: systemClock }).account('main', () => 0);
  return {
    web: new Web({ objection: () => undefined, refused: () => {} }),
    caller: { group, account },
    log: pino({ level: 'silent' }),
    model: openModelApi({
      baseUrl: `http://${webAddress}`,
      credential: { kind: 'api-key', secret: 'bench' },
    }),
  };
}

/** Uses a new container for each measurement. */
async function byWire(
  runtime: Runtime,
  wayOut: WireDependencies,
  kind: Kind,
  number: number,
): Promise<number> {
  const [inside, client] = ['inside', 'client'].map((name) => ({
    source: programOf(name),
    target: `/opt/bench/${name}.mjs`,
    readOnly: true,
  }));
  if (!inside || !client) throw new Error('unreachable');
  const spec = containerSpec(number);
  const command = ['node', inside.target, client.target, kind];
  const launch = runtime.launch({ ...spec, mounts: [inside, client], command });
  const child = spawnLaunch(launch);
  const wire = serveWire({ input: child.stdout, output: child.stdin }, wayOut);
  const printed = text(child.stderr);
  const [code] = await once(child, 'exit');
  wire.close();
  await runtime.release(spec.name);
  return tookMs(await printed, code);
}

async function directly(kind: Kind): Promise<number> {
  const child = spawn(process.execPath, [programOf('client'), kind, 'direct'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const printed = text(child.stdout);
  const [code] = await once(child, 'exit');
  return tookMs(await printed, code);
}

function tookMs(printed: string, code: unknown): number {
  if (code !== 0 || !/^[\d.]+\n$/.test(printed)) throw new Error(`the client failed: ${printed}`);
  return Number(printed);
}
