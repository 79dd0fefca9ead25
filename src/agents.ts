/**
 * What is put into agents' inboxes, and where their words go. Whoever asks an agent for work posts
 * a message; whatever an agent says goes through its voice. Runs no turn.
 */
import { randomUUID } from 'node:crypto';
import type { Base } from './base.ts';
import { loadAgent, type NewAgent, saveAgent } from './db/agents.ts';
import { saveMessage } from './db/messages.ts';
import type { Outbox } from './outbox.ts';
import { clip } from './text.ts';
import {
  type Agent,
  type Channel,
  type ChatId,
  type OutboundContent,
  type Owner,
  type Sender,
  UserError,
} from './types.ts';

export interface AgentDependencies extends Base {
  outbox: Outbox;
  owner: Owner;
  channelOf(chatId: ChatId): Channel | undefined;
  wake(agentId: string): void;
}

/** A message that is not from a person. It is never read for commands, triggers or lateness. */
export interface Post {
  /** A second post with the same id in the same inbox changes nothing. */
  id: string;
  sender: Exclude<Sender, { kind: 'person' }>;
  text: string;
  /** Wakes nobody: the agent sees it with the next message that does. */
  isContext?: boolean;
}

/** Who speaks when the host itself posts. */
export const theHost = { kind: 'host', id: 'host' } as const;

export class Agents {
  readonly #deps: AgentDependencies;
  /** By the agent's id: what it is doing, and the chat that shows it. */
  readonly #activities = new Map<string, { chatId: ChatId; text: string }>();

  constructor(deps: AgentDependencies) {
    this.#deps = deps;
  }

  /**
   * Adds an agent with the inbox `agent:<id>`, in the caller's transaction. Its id names a folder:
   * throws UserError for one that cannot, and an error when it is taken. A voice that is an agent
   * must be one that exists, so that no agents can answer each other in a circle.
   */
  create(agent: Omit<NewAgent, 'inbox'>): Agent {
    const { store } = this.#deps;
    const { id, voice } = agent;
    if (!/^[a-z0-9][a-z0-9._-]{0,79}$/.test(id) || id.endsWith('.own'))
      throw new UserError(`"${clip(id, 80)}" cannot name an agent.`);
    if (voice.kind === 'agent') loadAgent(store, voice.agentId);
    saveAgent(store, { ...agent, inbox: `agent:${agent.id}` });
    return loadAgent(store, agent.id);
  }

  /**
   * Puts a message into the agent's inbox, in the caller's transaction, and wakes the agent after
   * the commit, unless it is context. False when the inbox has a message with this id already.
   * Throws UserError when the text is longer than `messageTextMax`.
   */
  post(agentId: string, { id, sender, text, isContext = false }: Post): boolean {
    const { store, clock, limits, wake } = this.#deps;
    const { inbox } = loadAgent(store, agentId);
    if (text.length > limits.messageTextMax)
      throw new UserError(`A message may have ${limits.messageTextMax} characters at most.`);
    const sentAtMs = clock.now();
    const words = { text, origin: 'described' as const, mentions: [] };
    const message = { ...words, chatId: inbox, id, sender, sentAtMs, quote: null, attachments: [] };
    const role = isContext ? 'context' : 'wakes';
    const isNew = saveMessage(store, { ...message, role }, sentAtMs);
    if (isNew && !isContext) store.afterCommit(() => wake(agentId));
    return isNew;
  }

  /**
   * Sends what the agent says through its voice, in the caller's transaction. Throws UserError for
   * a file or a reaction when the voice is no chat.
   */
  say(agent: Agent, content: OutboundContent, turnId: number | null): void {
    const { outbox, owner } = this.#deps;
    const { id, voice, group } = agent;
    if (voice?.kind === 'chat')
      outbox.add(voice.chatId, under(voice.as, content), { lane: 'agent', turnId });
    else if (content.kind !== 'text') throw new UserError('You have no chat to send that to.');
    else if (voice) this.#tell(voice.agentId, { kind: 'agent', id }, content.text);
    else
      owner.tell(
        `The group ${group.folder} has no chat any more: what its agent said was not sent.`,
        { key: `no chat ${group.folder}` },
      );
  }

  /**
   * Sends what the host says about the agent through the agent's voice, in the caller's
   * transaction.
   */
  report(agent: Agent, text: string): void {
    const { outbox, owner } = this.#deps;
    const { voice, group } = agent;
    if (voice?.kind === 'agent') this.#tell(voice.agentId, theHost, text);
    else if (voice) outbox.add(voice.chatId, { kind: 'text', text, about: null });
    else owner.tell(`${group.folder}: ${text}`, { key: `no chat ${group.folder} ${text}` });
  }

  /** Shows in the agent's chat what it is doing, beside what others do there. Null clears it. */
  showActivity({ id, voice }: Agent, text: string | null): void {
    if (voice?.kind !== 'chat') return;
    const { chatId } = voice;
    if (text === null) this.#activities.delete(id);
    else this.#activities.set(id, { chatId, text });
    const here = [...this.#activities.values()].filter((activity) => activity.chatId === chatId);
    const all = here.map((activity) => activity.text).join(' | ') || null;
    this.#deps.channelOf(chatId)?.showActivity(chatId, all);
  }

  /** Clips a text that is too long, because its author is not there to shorten it. */
  #tell(agentId: string, sender: Post['sender'], words: string): void {
    const text = clip(words, this.#deps.limits.messageTextMax, '\n[the rest was cut]');
    if (text) this.post(agentId, { id: randomUUID(), sender, text });
  }
}

/** Puts the name before the words, so that the agents in a chat can be told apart. */
function under(name: string | undefined, content: OutboundContent): OutboundContent {
  if (name === undefined || content.kind === 'reaction' || !content.text) return content;
  return { ...content, text: `*${name}* ${content.text}` };
}
