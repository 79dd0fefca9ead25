/**
 * Maps WhatsApp's addresses to the host's chat and sender ids, and back. An account has a phone
 * number and a LID; here both are one person. Names are for display and decide nothing.
 */
import { isPnUser, jidNormalizedUser, type WAMessage } from 'baileys';
import { plainName } from '../../text.ts';
import type { ChatId } from '../../types.ts';
import type { WhatsAppStore } from './store.ts';

const prefix = 'whatsapp:';
const ownerName = 'the owner';

export function isGroupJid(jid: string): boolean {
  return jid.endsWith('@g.us');
}

/** Also the id of a sender: a person has the id of their direct chat. */
export function chatIdOf(personOrGroup: string): ChatId {
  return `${prefix}${personOrGroup}`;
}

export class Addresses {
  readonly #store: WhatsAppStore;
  readonly #assistantName: string;

  constructor(store: WhatsAppStore, assistantName: string) {
    this.#store = store;
    this.#assistantName = assistantName;
  }

  /** The group, or the other person of a direct chat. */
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

  /**
   * Whether the person is the owner of an assistant with a number of its own. A link that was made
   * before this was kept has the owner in the main chat alone, which is then a direct chat.
   */
  isOwner(person: string, chat: string): boolean {
    const owner = this.#store.get('owner');
    return person === (owner === null ? chat : this.#store.lookUp(owner));
  }

  /** The address to send to for a chat or sender id: the LID if it is known, as WhatsApp does. */
  jidOf(chatId: ChatId): string {
    const person = chatId.slice(prefix.length);
    if (isGroupJid(person)) return person;
    const { lid, number } = this.#store.jidsOf(person);
    return lid ?? number ?? person;
  }

  /** Nobody else gets the name of the owner or of the assistant. */
  learnName(person: string, name: string | null | undefined): void {
    const plain = plainName(name ?? '');
    const isTaken = [ownerName, this.#assistantName].some(
      (taken) => taken.toLowerCase() === plain.toLowerCase(),
    );
    if (plain && !isTaken && plain !== this.#store.get(`name:${person}`))
      this.#store.set(`name:${person}`, plain);
  }

  /** Whether the address is of the account that the assistant uses. */
  isAssistant(jid: string): boolean {
    return this.#personOf(jid) === this.#store.own();
  }

  accountOf(jid: string): { accountId: string; name: string } {
    return { accountId: chatIdOf(this.#personOf(jid)), name: this.nameOf(jid) };
  }

  nameOf(jid: string): string {
    const person = this.#personOf(jid);
    // On a shared number, the assistant's account is the owner's.
    if (person === this.#store.own())
      return this.#store.get('mode') === 'shared' ? ownerName : this.#assistantName;
    const user = person.slice(0, person.indexOf('@'));
    return this.#store.get(`name:${person}`) ?? (isPnUser(person) ? `+${user}` : user);
  }

  /**
   * Finds the mentions in a text of the assistant, which writes `@` and an account's digits.
   * WhatsApp shows a mention only if the message also lists its address.
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

  #personOf(jid: string): string {
    return this.#store.lookUp(jidNormalizedUser(jid));
  }
}
