/**
 * The log: pino, one line a fact, to rotated files in data/logs/ and to the terminal
 * only when LOG_LEVEL asks. Secrets are redacted by name here; nobody logs them on purpose.
 */
import { channel } from 'node:diagnostics_channel';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Level, type Logger, multistream, pino, type StreamEntry } from 'pino';
import pinoRoll from 'pino-roll';
import type { Config, Limits } from './config.ts';

export type Log = Logger;

/** The places on a message's path at which a crash must cost nothing. */
export type Step =
  | 'message-stored'
  | 'turn-claimed'
  | 'run-recorded'
  | 'container-spawned'
  | 'prompt-handed'
  | 'effect-committed'
  | 'effect-unlinked'
  | 'turn-done'
  | 'delivery-sent'
  | 'delivery-recorded'
  | 'run-ended';

const secretNames = ['secret', 'apiKey', 'token', 'authorization', '["x-api-key"]', 'credential'];

/** Opens the log. Rotation keeps `limits.logFilesMax` files of `limits.logFileSize`. */
export async function openLog(config: Config, limits: Limits): Promise<Log> {
  const dir = join(config.dataDir, 'logs');
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o700);
  const file = await pinoRoll({
    file: join(dir, 'nanoclaw'),
    extension: '.log',
    size: limits.logFileSize,
    limit: { count: limits.logFilesMax },
  });
  const level = config.terminalLogLevel;
  const streams: StreamEntry[] = [{ level: 'debug', stream: file }];
  if (level && level !== 'silent')
    streams.push({ level: level as Level, stream: pino.destination(2) });
  return pino(
    {
      level: level === 'trace' ? 'trace' : 'debug',
      base: null,
      redact: secretNames.flatMap((name) => [
        name,
        name.startsWith('[') ? `*${name}` : `*.${name}`,
      ]),
    },
    multistream(streams),
  );
}

/**
 * Notes that a message has passed one of the path's steps. Observers can subscribe to
 * `nanoclaw:step` (node:diagnostics_channel); without one this is a debug line.
 */
export function step(log: Log, name: Step, facts: Record<string, unknown>): void {
  log.debug(facts, name);
  channel('nanoclaw:step').publish({ name, ...facts });
}
