/**
 * Who is who: chat and sender ids as the host knows them, from and to WhatsApp's addresses. One
 * account has a number and a LID; both are the same person here. Names are shown, never trusted.
 */
import { isPnUser, jidNormalizedUser, type WAMessage } from 'baileys';
import type { ChatId } from '../../types.ts';
import type { WhatsAppStore } from './store.ts';

const prefix = 'whatsapp:';
const nameMax = 60;

export function isGroupJid(jid: string): boolean {
  return jid.endsWith('@g.us');
}

/** Also of a sender: their account is their direct chat. */
export function chatIdOf(personOrGroup: string): ChatId {
  return `${prefix}${personOrGroup}`;
}

export class Addresses {
  readonly #store: WhatsAppStore;
  /** What the assistant's account is called when somebody mentions it. */
  readonly #ownName: string;

  constructor(store: WhatsAppStore, ownName: string) {
    this.#store = store;
    this.#ownName = ownName;
  }

  /** The group, or the person at the other end. */
  chatOf({ key }: WAMessage): string {
    const jid = key.remoteJid ?? '';
    return isGroupJid(jid) ? jid : this.#store.personOf(jid, key.remoteJidAlt);
  }

  senderOf(message: WAMessage): string {
    const { key } = message;
    if (key.fromMe) return this.#store.own() ?? '';
    return key.participant
      ? this.#store.personOf(key.participant, key.participantAlt)
      : this.chatOf(message);
  }

  /** Where to send for a chat or sender of the host: a LID where one is known, as WhatsApp does. */
  jidOf(chatId: ChatId): string {
    const person = chatId.slice(prefix.length);
    if (isGroupJid(person)) return person;
    const { lid, number } = this.#store.jidsOf(person);
    return lid ?? number ?? person;
  }

  learnName(person: string, name: string | null | undefined): void {
    const plain = name
      ?.replace(/[\p{Cc}\p{Cf}]/gu, '')
      .trim()
      .slice(0, nameMax);
    if (plain && plain !== this.#store.get(`name:${person}`))
      this.#store.set(`name:${person}`, plain);
  }

  nameOf(jid: string): string {
    const person = this.#store.lookUp(jidNormalizedUser(jid));
    if (person === this.#store.own()) return this.#ownName;
    const user = person.slice(0, person.indexOf('@'));
    return this.#store.get(`name:${person}`) ?? (isPnUser(person) ? `+${user}` : user);
  }

  /**
   * The assistant writes `@` and the digits of an account. WhatsApp shows that as a mention when
   * the address stands in the message as well.
   */
  mentions(text: string): { text: string; jids: string[] } {
    const jids: string[] = [];
    const written = text.replace(/@(\d{5,20})(?!\d)/g, (whole, digits: string) => {
      const known = this.#store.findPerson(digits);
      if (!known) return whole;
      const jid = this.jidOf(chatIdOf(known));
      jids.push(jid);
      return `@${jid.slice(0, jid.indexOf('@'))}`;
    });
    return { text: written, jids };
  }
}
