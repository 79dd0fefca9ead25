/**
 * Keeps WhatsApp's client from saying what nobody may read: the sessions that libsignal prints
 * hold private keys, and what Baileys logs holds messages and keys.
 */
import type { ILogger } from 'baileys/lib/Utils/logger.js';
import type { Log } from '../../src/log.ts';

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

/** Warnings and errors of Baileys, by their text alone: the objects beside it hold keys. */
export function loggerFor(log: Log): ILogger {
  const say = (level: 'warn' | 'error') => (facts: unknown, text?: string) =>
    log[level]({ whatsapp: typeof facts === 'string' ? facts : text }, 'baileys');
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
