/**
 * Keeps secrets of WhatsApp's client out of the console and the log: libsignal prints sessions with
 * their private keys, and Baileys logs messages and keys.
 */
import type { ILogger } from 'baileys/lib/Utils/logger.js';
import type { Log } from '../../log.ts';
import { clip } from '../../text.ts';

const errorTextMax = 200;

type Print = (...words: unknown[]) => void;

/**
 * Drops what libsignal's files print with console.info and the like, and passes on the rest.
 * libsignal 6 takes no logger. Remove when it prints nothing.
 */
export function silenceLibsignal(console: Console): void {
  for (const method of ['info', 'warn', 'error', 'log'] as const) {
    const print: Print = console[method].bind(console);
    if (print.name.startsWith('bound quiet')) continue;
    const quiet: Print = (...words) => {
      if (!new Error().stack?.includes('/node_modules/libsignal/')) print(...words);
    };
    console[method] = quiet;
  }
}

/** Logs Baileys' warnings and errors by their texts only: the objects beside them hold keys. */
export function loggerFor(log: Log): ILogger {
  const say = (level: 'warn' | 'error') => (facts: unknown, text?: string) =>
    log[level](
      { whatsapp: typeof facts === 'string' ? facts : text, error: messageOf(facts) },
      'baileys',
    );
  const ignore = () => {};
  const logger: ILogger = {
    level: 'warn',
    child: () => logger,
    trace: ignore,
    debug: ignore,
    info: ignore,
    warn: say('warn'),
    error: say('error'),
  };
  return logger;
}

function messageOf(facts: unknown): string | undefined {
  if (typeof facts !== 'object' || facts === null) return undefined;
  const error = 'err' in facts ? facts.err : 'error' in facts ? facts.error : undefined;
  return error instanceof Error ? clip(error.message, errorTextMax) : undefined;
}
