/**
 * The container's side of a wire as a real process without a container around it. Requests to its
 * port travel over its stdio to the host's end in this process.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { build } from 'esbuild';
import { type Logger, pino } from 'pino';
import { onTestFinished } from 'vitest';
import { serveWire, type Wire, type WireDependencies } from '../../src/egress/wire.ts';

export interface WireContainer {
  /** On 127.0.0.1 of this machine, because there is no container around it. */
  port: number;
  wire: Wire;
  child: ChildProcessWithoutNullStreams;
}

/** Ends when the test ends. */
export async function openWireContainer(deps: WireDependencies): Promise<WireContainer> {
  const dir = mkdtempSync(join(tmpdir(), 'wire-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const program = join(dir, 'wire.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'programs/wire-container.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
  const child = spawn(process.execPath, [program]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const wire = serveWire({ input: child.stdout, output: child.stdin }, deps);
  onTestFinished(() => wire.close());
  const [line] = await once(child.stderr, 'data');
  return { port: Number(line), wire, child };
}

/** A log that passes each of its lines to `write`. */
export function openTestLog(write: (text: string) => void): Logger {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      write(String(chunk));
      done();
    },
  });
  return pino({ level: 'trace' }, stream);
}
