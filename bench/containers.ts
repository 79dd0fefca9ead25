/**
 * The life of a container that does nothing, sealed and limited like an agent's: from the spawn
 * until everything that was made for it is removed.
 */
import { once } from 'node:events';
import { defaultLimits } from '../src/config.ts';
import { spawnLaunch } from '../src/runtimes/container-runtime.ts';
import type { ContainerSpec, Runtime } from '../src/runtimes/container-spec.ts';
import { median, rounded, say, took } from './measure.ts';

const oneByOne = 30;
const atOnce = 8;
const volleys = 4;
/** Below the uids of the groups. */
const uid = 199_998;
/** Part of the name of all containers of this process. */
export const instance = `bench${process.pid}`;

export async function measureContainers(runtime: Runtime) {
  say('containers');
  await runOne(runtime, 0);
  const sequential: number[] = [];
  for (let count = 1; count <= oneByOne; count += 1)
    sequential.push(await took(() => runOne(runtime, count)));
  const together: number[] = [];
  for (let volley = 1; volley <= volleys; volley += 1)
    together.push(
      await took(() =>
        Promise.all(Array.from({ length: atOnce }, (_, index) => runOne(runtime, index))),
      ),
    );
  return {
    lifeMs: rounded(median(sequential), 1),
    perSecond: rounded(1000 / median(sequential), 1),
    perSecondAtOnce: rounded((atOnce * 1000) / median(together), 1),
  };
}

/** Sealed and limited like an agent's, with nothing in it. */
export function containerSpec(number: number): Omit<ContainerSpec, 'command'> {
  const name = `nanoclaw-${instance}-${number}`;
  return { name, uid, mounts: [], env: {}, workDir: '/', limits: defaultLimits.container };
}

/**
 * `number` distinguishes containers that run at the same time. Rejects when the container fails.
 */
export async function runOne(runtime: Runtime, number: number): Promise<void> {
  const spec = containerSpec(number);
  const child = spawnLaunch(runtime.launch({ ...spec, command: ['true'] }));
  child.stdin.end();
  child.stdout.resume();
  child.stderr.resume();
  const [code] = await once(child, 'close');
  await runtime.release(spec.name);
  if (code !== 0) throw new Error(`a container that does nothing ended with ${code}`);
}
