/** Stores each stanza for the client until the client has confirmed it, across reconnects. */
import type { ClientConnection } from './connection.ts';
import type { Faults } from './faults.ts';
import { type BinaryNode, node, serverJid } from './nodes.ts';

export class Mailbox {
  readonly #faults: Faults;
  readonly #waiting: BinaryNode[] = [];

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** Stores a stanza, and sends it at once if the client has asked for its messages. */
  put(stanza: BinaryNode, client: ClientConnection | null): void {
    this.#waiting.push(stanza);
    if (!client?.isReady) return;
    client.send(stanza);
    if (this.#faults.duplicates > 0) {
      this.#faults.duplicates -= 1;
      client.send(stanza);
    }
  }

  /** One confirmation removes one stanza. */
  confirm(id: string): void {
    const index = this.#waiting.findIndex(({ attrs }) => attrs.id === id);
    if (index >= 0) this.#waiting.splice(index, 1);
  }

  /** Sends all stored stanzas, marked as offline, and their number at the end. */
  flush(client: ClientConnection): void {
    client.isReady = true;
    const count = String(this.#waiting.length);
    if (this.#waiting.length > 0)
      client.send(
        node('ib', { from: serverJid }, [
          node('offline_preview', {
            message: count,
            count,
            notification: '0',
            receipt: '0',
            call: '0',
          }),
        ]),
      );
    for (const [index, stanza] of [...this.#waiting].entries())
      client.send({ ...stanza, attrs: { ...stanza.attrs, offline: String(index) } });
    client.send(node('ib', { from: serverJid }, [node('offline', { count })]));
  }
}
