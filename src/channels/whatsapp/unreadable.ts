/**
 * Messages that could not be decrypted. The sender's phone is asked to send them again; when it
 * does not within a minute, a placeholder takes their place, so that nothing passes in silence.
 * A host that dies in that minute does not write the placeholder: the phone may answer later.
 */
import { proto, type WAMessage } from 'baileys';
import type { Clock } from '../../types.ts';

const waitMs = 60_000;
const waitingMax = 1000;

export class Unreadable {
  readonly #clock: Clock;
  readonly #giveUp: (placeholder: WAMessage) => void;
  readonly #waiting = new Map<string, () => void>();

  /** `giveUp` is handed a message without content, under an id of its own. */
  constructor(clock: Clock, giveUp: (placeholder: WAMessage) => void) {
    this.#clock = clock;
    this.#giveUp = giveUp;
  }

  /** Looks for those among what Baileys reports. */
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

  /** The phone has sent it again. */
  arrived(id: string): void {
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }

  close(): void {
    for (const cancel of this.#waiting.values()) cancel();
  }
}
