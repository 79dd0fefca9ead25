/**
 * The ledger: each host that an agent tries to reach, allowed or refused, by day, group and turn.
 * A host is stored before the first byte leaves; its counts follow within a second.
 */
import type { Socket } from 'node:net';
import type { Base } from '../base.ts';
import { addToLedger, type LedgerKey, type Traffic } from './store.ts';

const flushEveryMs = 1000;
/** Of one container in one turn. An agent that needs more hides its traffic, or leaks data in names. */
const hostsPerTurnMax = 1000;
const nothing: Traffic = { requests: 0, bytesUp: 0, bytesDown: 0 };

/** The part of the ledger that one container's traffic is written to. */
export interface Account {
  /** Undefined if the turn has tried too many hosts: the caller must refuse this one. */
  open(host: string): Entry | undefined;
  refused(host: string): void;
}

/** A host, as one container reaches it in one turn. */
interface Entry {
  add(more: Partial<Traffic>): void;
  /** Counts the bytes of a socket until it closes, including the overhead of TLS. */
  follow(socket: Socket): void;
}

/** The date in the host's time zone, such as 2026-03-29. */
export function localDay(atMs: number): string {
  // Sweden writes dates as ISO 8601 does.
  return new Date(atMs).toLocaleDateString('sv-SE');
}

export class Ledger {
  readonly #base: Pick<Base, 'store' | 'clock'>;
  readonly #waiting = new Map<string, { key: LedgerKey; traffic: Traffic }>();
  readonly #sockets = new Set<() => void>();
  #cancelFlush: (() => void) | undefined;
  #isClosed = false;

  constructor(base: Pick<Base, 'store' | 'clock'>) {
    this.#base = base;
  }

  /** For the traffic of one container. `currentTurn` returns 0 outside of a turn. */
  account(folder: string, currentTurn: () => number): Account {
    let turnId = 0;
    const known = new Set<string>();
    const keyOf = (host: string, allowed: boolean): LedgerKey => ({
      day: localDay(this.#base.clock.now()),
      folder,
      turnId: currentTurn(),
      host,
      allowed,
    });
    const isNoted = (key: LedgerKey): boolean => {
      if (key.turnId !== turnId) known.clear();
      turnId = key.turnId;
      const id = JSON.stringify(key);
      if (known.has(id)) return true;
      if (known.size >= hostsPerTurnMax) return false;
      known.add(id);
      // At once, so that no crash can hide it.
      addToLedger(this.#base.store, key, nothing, this.#base.clock.now());
      return true;
    };
    return {
      open: (host) => {
        const key = keyOf(host, true);
        if (!isNoted(key)) return undefined;
        return {
          add: (more) => this.#add(key, more),
          follow: (socket) => this.#follow(key, socket),
        };
      },
      refused: (host) => {
        const key = keyOf(host, false);
        const noted = isNoted(key) ? key : { ...key, host: '(further hosts)' };
        this.#add(noted, { requests: 1 });
      },
    };
  }

  flush(): void {
    const { store, clock } = this.#base;
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    for (const count of this.#sockets) count();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    if (waiting.length > 0)
      store.transaction(
        () => {
          for (const { key, traffic } of waiting) addToLedger(store, key, traffic, clock.now());
        },
        { flush: false },
      );
    if (this.#sockets.size > 0) this.#flushSoon();
  }

  /** Stores what was counted. Later traffic belongs to no container and is not counted. */
  close(): void {
    this.flush();
    this.#cancelFlush?.();
    this.#isClosed = true;
  }

  #add(key: LedgerKey, more: Partial<Traffic>): void {
    const id = JSON.stringify(key);
    const { traffic } = this.#waiting.get(id) ?? { traffic: nothing };
    const sum = {
      requests: traffic.requests + (more.requests ?? 0),
      bytesUp: traffic.bytesUp + (more.bytesUp ?? 0),
      bytesDown: traffic.bytesDown + (more.bytesDown ?? 0),
    };
    this.#waiting.set(id, { key, traffic: sum });
    this.#flushSoon();
  }

  #follow(key: LedgerKey, socket: Socket): void {
    let counted = { up: 0, down: 0 };
    const count = () => {
      const now = { up: socket.bytesWritten, down: socket.bytesRead };
      const bytesUp = now.up - counted.up;
      const bytesDown = now.down - counted.down;
      counted = now;
      const day = localDay(this.#base.clock.now());
      if (bytesUp + bytesDown > 0) this.#add({ ...key, day }, { bytesUp, bytesDown });
    };
    this.#sockets.add(count);
    this.#flushSoon();
    socket.once('close', () => {
      count();
      this.#sockets.delete(count);
    });
  }

  #flushSoon(): void {
    if (this.#isClosed) return;
    this.#cancelFlush ??= this.#base.clock.after(flushEveryMs, () => {
      this.#cancelFlush = undefined;
      this.flush();
    });
  }
}
