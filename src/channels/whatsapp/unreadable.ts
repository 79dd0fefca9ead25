/**
 * Messages that could not be decrypted. Baileys asks the sender's phone to send them again; if it
 * does not within a minute, a placeholder takes their place, so that no message is lost in silence.
 * If the host stops within that minute, no placeholder is written, but the phone may still answer
 * later.
 */
import { proto, type WAMessage } from 'baileys';
import type { Clock } from '../../types.ts';

const waitMs = 60_000;
const waitingMax = 1000;

export class Unreadable {
  readonly #clock: Clock;
  readonly #giveUp: (placeholder: WAMessage) => void;
  readonly #waiting = new Map<string, () => void>();

  /** `giveUp` receives a message without content, under an id of its own. */
  constructor(clock: Clock, giveUp: (placeholder: WAMessage) => void) {
    this.#clock = clock;
    this.#giveUp = giveUp;
  }

  /** Looks for undecrypted ones among the messages that Baileys reports. */
  note(messages: WAMessage[]): void {
    for (const { key, ...message } of messages) {
      const isUnread =
        message.messageStubType === proto.WebMessageInfo.StubType.CIPHERTEXT || key.isViewOnce;
      const { id } = key;
      if (!id || !isUnread || message.message || this.#waiting.size >= waitingMax) continue;
      const placeholder = { ...message, key: { ...key, id: `${id}-unread` } };
      this.arrived(id);
      const fire = () => {
        this.#waiting.delete(id);
        this.#giveUp(placeholder);
      };
      this.#waiting.set(id, this.#clock.after(waitMs, fire));
    }
  }

  /** To be called when the phone has sent it again. */
  arrived(id: string): void {
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }

  close(): void {
    for (const cancel of this.#waiting.values()) cancel();
  }
}
