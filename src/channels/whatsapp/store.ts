/**
 * What the WhatsApp channel stores, in a database of its own: the linked device's keys, the inbox,
 * sent messages, and who is who. Does not load WhatsApp's client: its messages are bytes here.
 */
import { z } from 'zod';
import { Store } from '../../db.ts';

const migrations = [
  `
  -- creds, and the keys of Signal's sessions: who has them has the account
  CREATE TABLE keys (
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (type, id)
  ) STRICT, WITHOUT ROWID;

  -- arrived and decrypted, not yet committed by the host
  CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message BLOB NOT NULL,
    was_offline INTEGER NOT NULL,
    received_at INTEGER NOT NULL
  ) STRICT;

  -- stanzas that went into the inbox: the server resends what it has no receipt for
  CREATE TABLE received (
    stanza TEXT PRIMARY KEY,
    received_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX received_by_time ON received (received_at);

  CREATE TABLE sent (
    id TEXT PRIMARY KEY,
    message BLOB NOT NULL,
    sent_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sent_by_time ON sent (sent_at);

  -- all addresses of an account have the same person
  CREATE TABLE people (
    jid TEXT PRIMARY KEY,
    person TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX people_by_person ON people (person);

  CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // Names were not cleaned when they were stored. They are learned again.
  "DELETE FROM meta WHERE key GLOB 'name:*'",
];

/** Phones request sent messages again, and the server resends received ones, for days. */
const keptMs = 30 * 24 * 60 * 60_000;

export interface Arrival {
  /** A WebMessageInfo of WhatsApp's protocol buffers. */
  message: Uint8Array;
  /** Whether it waited at the server while we were offline. */
  wasOffline: boolean;
  receivedAtMs: number;
}

export interface StoredRow extends Arrival {
  seq: number;
}

interface InboxColumns {
  seq: number;
  message: Uint8Array;
  was_offline: number;
  received_at: number;
}

function toStoredRow({ seq, message, was_offline, received_at }: InboxColumns): StoredRow {
  return { seq, message, wasOffline: was_offline === 1, receivedAtMs: received_at };
}

/** Only the part of Baileys' creds that is read here. */
const pairedSchema = z.object({ account: z.object({}) });

export class WhatsAppStore {
  readonly #db: Store;

  constructor(path: string) {
    this.#db = new Store(path, migrations);
    // Keys are replaced at every message; the old ones would stay in freed pages.
    this.#db.get('PRAGMA secure_delete = ON');
  }

  /** Whether there are keys and a main chat was chosen. */
  get isLinked(): boolean {
    return this.get('mode') !== null && this.isPaired;
  }

  /**
   * Whether WhatsApp may know this device, also after an unfinished link. Throws when the creds are
   * torn.
   */
  get isPaired(): boolean {
    const creds = this.readKey('creds', '');
    return creds !== null && pairedSchema.safeParse(JSON.parse(creds)).success;
  }

  /** What `work` writes is on the disk when this resolves; until then it dies with the machine. */
  async flushed(work: () => void): Promise<void> {
    this.unflushed(work);
    await this.#db.flushed();
  }

  /** Dies with the machine until the next flush. */
  unflushed(work: () => void): void {
    this.#db.transaction(work, { flush: false });
  }

  readKey(type: string, id: string): string | null {
    const sql = 'SELECT value FROM keys WHERE type = :type AND id = :id';
    return this.#db.get<{ value: string }>(sql, { type, id })?.value ?? null;
  }

  /** Null removes the key. */
  writeKey(type: string, id: string, value: string | null): void {
    if (value === null)
      this.#db.run('DELETE FROM keys WHERE type = :type AND id = :id', { type, id });
    else
      this.#db.run('INSERT OR REPLACE INTO keys VALUES (:type, :id, :value)', { type, id, value });
  }

  /** `stanza` identifies the message among all that the server sends. */
  addToInbox({ message, wasOffline, receivedAtMs }: Arrival, stanza = ''): void {
    this.#db.run(
      `INSERT INTO inbox (message, was_offline, received_at)
       VALUES (:message, :wasOffline, :receivedAtMs)`,
      { message, wasOffline: Number(wasOffline), receivedAtMs },
    );
    this.#db.run('INSERT OR REPLACE INTO received VALUES (:stanza, :receivedAtMs)', {
      stanza,
      receivedAtMs,
    });
    this.#db.run('DELETE FROM received WHERE received_at < :keptFromMs', {
      keptFromMs: receivedAtMs - keptMs,
    });
  }

  wasReceived(stanza: string): boolean {
    return this.#db.get('SELECT 1 FROM received WHERE stanza = :stanza', { stanza }) !== undefined;
  }

  /** The oldest rows, at most `most`. */
  listInbox(most: number): StoredRow[] {
    const sql = 'SELECT * FROM inbox ORDER BY seq LIMIT :most';
    return this.#db.all<InboxColumns>(sql, { most }).map(toStoredRow);
  }

  /** Not flushed: a row that comes again changes nothing. */
  removeFromInbox(seqs: number[]): void {
    const sql = 'DELETE FROM inbox WHERE seq IN (SELECT value FROM json_each(:seqs))';
    this.unflushed(() => this.#db.run(sql, { seqs: JSON.stringify(seqs) }));
  }

  /** Not flushed: the keys with which it is sent are, after this and before it leaves. */
  saveSent(id: string, message: Uint8Array, nowMs: number): void {
    const sql = 'INSERT OR REPLACE INTO sent VALUES (:id, :message, :nowMs)';
    const keptFromMs = nowMs - keptMs;
    this.unflushed(() => {
      this.#db.run(sql, { id, message, nowMs });
      this.#db.run('DELETE FROM sent WHERE sent_at < :keptFromMs', { keptFromMs });
    });
  }

  findSent(id: string): Uint8Array | undefined {
    const sql = 'SELECT message FROM sent WHERE id = :id';
    return this.#db.get<{ message: Uint8Array }>(sql, { id })?.message;
  }

  /** Whether the assistant itself sent the message. */
  isOwn(id: string): boolean {
    return this.findSent(id) !== undefined;
  }

  /**
   * One id for all addresses of an account: the number if it was known when the account was first
   * seen, otherwise the LID. Ignores the device part of an address. Saves the addresses that are
   * new.
   */
  personOf(jid: string, alternativeJid?: string | null): string {
    const jids = [jid, alternativeJid].flatMap((given) => (given ? [withoutDevice(given)] : []));
    // When two people prove to be one account, they become one, known by the number: the owner was
    // named by it.
    const byNumber = jids.toSorted(
      (left, right) => Number(isNumber(right)) - Number(isNumber(left)),
    );
    const known = byNumber.flatMap((given) => this.#findPerson(given) ?? [])[0];
    const person = known ?? byNumber[0] ?? jid;
    for (const given of jids)
      if (this.#findPerson(given) !== person)
        this.#db.run('INSERT OR REPLACE INTO people VALUES (:given, :person)', { given, person });
    return person;
  }

  /** As `personOf`, for one address, but saves nothing. */
  lookUp(jid: string): string {
    return this.#findPerson(withoutDevice(jid)) ?? withoutDevice(jid);
  }

  jidsOf(person: string): { lid: string | null; number: string | null } {
    const sql = 'SELECT jid FROM people WHERE person = :person';
    const jids = this.#db.all<{ jid: string }>(sql, { person }).map(({ jid }) => jid);
    return {
      lid: jids.find((jid) => !isNumber(jid)) ?? null,
      number: jids.find(isNumber) ?? null,
    };
  }

  /** The person whose number or LID has these digits, if one was ever seen. */
  findPerson(digits: string): string | undefined {
    return this.#findPerson(`${digits}@s.whatsapp.net`) ?? this.#findPerson(`${digits}@lid`);
  }

  /** Our own account. */
  own(): string | null {
    return this.get('own');
  }

  get(key: string): string | null {
    const sql = 'SELECT value FROM meta WHERE key = :key';
    return this.#db.get<{ value: string }>(sql, { key })?.value ?? null;
  }

  set(key: string, value: string | null): void {
    if (value === null) this.#db.run('DELETE FROM meta WHERE key = :key', { key });
    else this.#db.run('INSERT OR REPLACE INTO meta VALUES (:key, :value)', { key, value });
  }

  /** Removes the link: keys, own address, mode and owner. Overwrites the keys on disk. Messages stay. */
  unlink(): void {
    this.#db.transaction(() => {
      this.#db.run('DELETE FROM keys');
      for (const key of ['own', 'mode', 'owner']) this.set(key, null);
    });
    this.#db.get('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  close(): void {
    this.#db.close();
  }

  #findPerson(jid: string): string | undefined {
    const sql = 'SELECT person FROM people WHERE jid = :jid';
    return this.#db.get<{ person: string }>(sql, { jid })?.person;
  }
}

function isNumber(jid: string): boolean {
  return jid.endsWith('@s.whatsapp.net');
}

/** `4917_1:12@s.whatsapp.net` is device 12 of an account, through agent 1. */
function withoutDevice(jid: string): string {
  return jid.replace(/(_\d+)?(:\d+)?@/, '@');
}
