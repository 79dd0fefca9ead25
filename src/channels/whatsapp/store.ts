/**
 * What the WhatsApp channel keeps, in a database of its own: the linked device's keys, the inbox,
 * what was sent, and who is who. Loads nothing of WhatsApp's client; what that needs is bytes here.
 */
import { Store } from '../../db.ts';

const migrations = [
  `
  -- creds, and the keys of Signal's sessions: as good as the account itself
  CREATE TABLE keys (
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (type, id)
  ) STRICT, WITHOUT ROWID;

  -- arrived and decrypted, and not yet the host's
  CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message BLOB NOT NULL,
    was_offline INTEGER NOT NULL,
    received_at INTEGER NOT NULL
  ) STRICT;

  -- what went into the inbox, since the server sends again what it has no receipt for
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

  -- the addresses of one account lead to one person
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
];

/** Phones and the server ask for a message, or send it, again within days. */
const keptMs = 30 * 24 * 60 * 60_000;

export interface Arrival {
  /** A WebMessageInfo of WhatsApp's protocol buffers. */
  message: Uint8Array;
  /** It waited at the server while we were away. */
  wasOffline: boolean;
  receivedAtMs: number;
}

export interface StoredRow extends Arrival {
  seq: number;
}

export class WhatsAppStore {
  readonly #db: Store;

  constructor(path: string) {
    this.#db = new Store(path, migrations);
    // Keys are replaced at every message; the old ones would lie on in freed pages.
    this.#db.get('PRAGMA secure_delete = ON');
  }

  /** Keys, and a main chat. */
  get isLinked(): boolean {
    return this.get('mode') !== null && this.isPaired;
  }

  /** WhatsApp may know this device: an unfinished link counts. */
  get isPaired(): boolean {
    const creds: unknown = JSON.parse(this.readKey('creds', '') ?? 'null');
    return typeof creds === 'object' && creds !== null && 'account' in creds;
  }

  /** Joins the transaction that is open, if any. */
  transaction<Result>(work: () => Result): Result {
    return this.#db.transaction(work);
  }

  readKey(type: string, id: string): string | null {
    const sql = 'SELECT value FROM keys WHERE type = ? AND id = ?';
    return this.#db.get<{ value: string }>(sql, type, id)?.value ?? null;
  }

  /** Null removes it. */
  writeKey(type: string, id: string, value: string | null): void {
    if (value === null) this.#db.run('DELETE FROM keys WHERE type = ? AND id = ?', type, id);
    else this.#db.run('INSERT OR REPLACE INTO keys VALUES (?, ?, ?)', type, id, value);
  }

  /** `stanza` names it among all that the server sends. */
  addToInbox({ message, wasOffline, receivedAtMs }: Arrival, stanza = ''): void {
    this.#db.run(
      'INSERT INTO inbox (message, was_offline, received_at) VALUES (?, ?, ?)',
      ...[message, Number(wasOffline), receivedAtMs],
    );
    this.#db.run('INSERT OR REPLACE INTO received VALUES (?, ?)', stanza, receivedAtMs);
    this.#db.run('DELETE FROM received WHERE received_at < ?', receivedAtMs - keptMs);
  }

  wasReceived(stanza: string): boolean {
    return this.#db.get('SELECT 1 FROM received WHERE stanza = ?', stanza) !== undefined;
  }

  /** The oldest. */
  listInbox(most: number): StoredRow[] {
    const sql = `SELECT seq, message, was_offline AS wasOffline, received_at AS receivedAtMs
      FROM inbox ORDER BY seq LIMIT ?`;
    return this.#db
      .all<StoredRow>(sql, most)
      .map((row) => ({ ...row, wasOffline: Boolean(row.wasOffline) }));
  }

  removeFromInbox(seqs: number[]): void {
    this.#db.run(
      'DELETE FROM inbox WHERE seq IN (SELECT value FROM json_each(?))',
      JSON.stringify(seqs),
    );
  }

  saveSent(id: string, message: Uint8Array, nowMs: number): void {
    this.#db.run('INSERT OR REPLACE INTO sent VALUES (?, ?, ?)', id, message, nowMs);
    this.#db.run('DELETE FROM sent WHERE sent_at < ?', nowMs - keptMs);
  }

  findSent(id: string): Uint8Array | undefined {
    const sql = 'SELECT message FROM sent WHERE id = ?';
    return this.#db.get<{ message: Uint8Array }>(sql, id)?.message;
  }

  /** Whether the assistant itself sent the message. */
  isOwn(id: string): boolean {
    return this.findSent(id) !== undefined;
  }

  /**
   * One id for all addresses of an account: the number if it was known when the account was first
   * seen, otherwise the LID. Device parts are left out.
   */
  personOf(jid: string, alternativeJid?: string | null): string {
    const jids = [jid, alternativeJid].flatMap((given) => (given ? [withoutDevice(given)] : []));
    // Two that were first seen apart become one: the number is how the owner was named.
    const byNumber = jids.toSorted(
      (left, right) => Number(isNumber(right)) - Number(isNumber(left)),
    );
    const known = byNumber.flatMap((given) => this.#findPerson(given) ?? [])[0];
    const person = known ?? byNumber[0] ?? jid;
    for (const given of jids)
      if (this.#findPerson(given) !== person)
        this.#db.run(
          'INSERT INTO people VALUES (?, ?) ON CONFLICT DO UPDATE SET person = excluded.person',
          ...[given, person],
        );
    return person;
  }

  /** As `personOf` of one address, but keeps nothing of an account that is not known. */
  lookUp(jid: string): string {
    return this.#findPerson(withoutDevice(jid)) ?? withoutDevice(jid);
  }

  jidsOf(person: string): { lid: string | null; number: string | null } {
    const sql = 'SELECT jid FROM people WHERE person = ?';
    const jids = this.#db.all<{ jid: string }>(sql, person).map(({ jid }) => jid);
    return {
      lid: jids.find((jid) => !isNumber(jid)) ?? null,
      number: jids.find(isNumber) ?? null,
    };
  }

  /** The person with these digits as number or LID, if one was ever seen. */
  findPerson(digits: string): string | undefined {
    return this.#findPerson(`${digits}@s.whatsapp.net`) ?? this.#findPerson(`${digits}@lid`);
  }

  /** Our own account. */
  own(): string | null {
    return this.get('own');
  }

  get(key: string): string | null {
    const sql = 'SELECT value FROM meta WHERE key = ?';
    return this.#db.get<{ value: string }>(sql, key)?.value ?? null;
  }

  set(key: string, value: string | null): void {
    if (value === null) this.#db.run('DELETE FROM meta WHERE key = ?', key);
    else this.#db.run('INSERT OR REPLACE INTO meta VALUES (?, ?)', key, value);
  }

  /** Removes the keys, and overwrites them on the disk. What has arrived stays. */
  unlink(): void {
    this.transaction(() => {
      this.#db.run('DELETE FROM keys');
      for (const key of ['own', 'mode']) this.set(key, null);
    });
    this.#db.get('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  close(): void {
    this.#db.close();
  }

  #findPerson(jid: string): string | undefined {
    const sql = 'SELECT person FROM people WHERE jid = ?';
    return this.#db.get<{ person: string }>(sql, jid)?.person;
  }
}

function isNumber(jid: string): boolean {
  return jid.endsWith('@s.whatsapp.net');
}

/** `4917_1:12@s.whatsapp.net` is device 12 of an account, by way of agent 1. */
function withoutDevice(jid: string): string {
  return jid.replace(/(_\d+)?(:\d+)?@/, '@');
}
