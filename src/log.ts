/**
 * The log, by pino: to rotated files, and to the terminal when LOG_LEVEL says so. Fields are
 * redacted here when their name is that of a secret; no code logs one on purpose.
 */
import { channel } from 'node:diagnostics_channel';
import { join } from 'node:path';
import { type Logger, multistream, pino } from 'pino';
import pinoRoll from 'pino-roll';
import type { Config } from './config.ts';

export type Log = Logger;

const secretNames = ['secret', 'apiKey', 'token', 'authorization', 'x-api-key', 'credential'];

export async function openLog(config: Config): Promise<Log> {
  const file = await pinoRoll({
    file: join(config.logsDir, 'nanoclaw'),
    extension: '.log',
    size: '10m',
    limit: { count: 5 },
  });
  return pino(
    {
      level: 'trace',
      base: null,
      redact: secretNames.flatMap((name) => [`["${name}"]`, `*["${name}"]`]),
    },
    multistream([
      { level: 'debug', stream: file },
      { level: config.terminalLogLevel, stream: pino.destination(2) },
    ]),
  );
}

/**
 * Logs that a message has reached a step at which a crash must lose nothing. Observers can
 * subscribe to `nanoclaw:step` (node:diagnostics_channel).
 */
export function step(log: Log, name: string, facts: Record<string, unknown>): void {
  log.debug(facts, name);
  channel('nanoclaw:step').publish({ name, ...facts });
}
