/**
 * Keeps WhatsApp's client from saying what nobody may read: the sessions that libsignal prints
 * hold private keys, and what Baileys logs holds messages and keys.
 */
import type { ILogger } from 'baileys/lib/Utils/logger.js';
import type { Log } from '../../log.ts';

const errorTextMax = 200;

type Print = (...words: unknown[]) => void;

/**
 * libsignal 6 prints sessions, private keys included, with console.info and its like; it takes no
 * logger. Drops what is called from its files and passes on the rest. Can go with libsignal's
 * console calls.
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

/** Warnings and errors of Baileys, by their texts alone: the objects beside them hold keys. */
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
  return error instanceof Error ? error.message.slice(0, errorTextMax) : undefined;
}
