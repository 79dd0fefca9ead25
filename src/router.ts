/**
 * The way in: stores what channels bring, before anything else happens to it, and decides
 * whom it concerns: the host itself (a command), the group's agent, or nobody yet (context).
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Base } from './base.ts';
import type { CommandCall, Commands } from './commands.ts';
import { findGroupByChat, touchChat } from './db/groups.ts';
import { hasMessage, type NewMessage, saveMessage, trimContext } from './db/messages.ts';
import { mentions } from './format.ts';
import { step } from './log.ts';
import type { Outbox } from './outbox.ts';
import { createInside } from './safe-open.ts';
import {
  type Attachment,
  type Group,
  type InboundMessage,
  type IncomingAttachment,
  UserError,
} from './types.ts';

export interface RouterDependencies extends Base {
  outbox: Outbox;
  commands: Commands;
  /** There is work for the agent. */
  wake(agentId: string): void;
}

interface Arrival {
  group: Group;
  command: CommandCall | undefined;
  message: NewMessage;
}

export class Router {
  readonly #deps: RouterDependencies;

  constructor(deps: RouterDependencies) {
    this.#deps = deps;
  }

  /**
   * Resolves when all messages are committed, in the order given. A second delivery of a
   * message changes nothing. Of chats without a group only the time is kept.
   */
  async receive(messages: InboundMessage[]): Promise<void> {
    const { store, log } = this.#deps;
    const arrivals: Arrival[] = [];
    for (const message of messages) {
      const group = findGroupByChat(store, message.chatId);
      if (group && !hasMessage(store, message.chatId, message.id))
        arrivals.push(await this.#prepare(message, group));
    }
    const fresh = store.transaction(() => {
      for (const { chatId, sentAtMs } of messages) touchChat(store, chatId, chatId, sentAtMs);
      return arrivals.filter((arrival) => this.#save(arrival));
    });
    for (const { message, group } of fresh) {
      step(log, 'message-stored', { chatId: message.chatId, id: message.id });
      if (message.wakes) this.#deps.wake(group.folder);
      if (message.isHandled) this.#deps.outbox.flush(message.chatId);
    }
  }

  async #prepare(message: InboundMessage, group: Group): Promise<Arrival> {
    const { config, limits, commands } = this.#deps;
    const command = commands.find(message.text);
    const isTriggered = !group.requiresTrigger || mentions(message.text, config.assistantName);
    const offered = message.attachments.slice(0, limits.attachmentsMax);
    const kept = await Promise.all(offered.map((file) => this.#keep(file, group)));
    const problems = kept.filter((file) => typeof file === 'string');
    return {
      group,
      command,
      message: {
        ...message,
        quote: message.quote ?? null,
        text: [cutText(message.text, limits.messageTextMax), ...problems].join('\n'),
        attachments: kept.filter((file) => typeof file !== 'string'),
        wakes: isTriggered && command === undefined,
        isHandled: command !== undefined,
      },
    };
  }

  /** False when the message was there already. A command takes effect in the same transaction. */
  #save({ message, group, command }: Arrival): boolean {
    const { store, clock, limits, outbox } = this.#deps;
    if (!saveMessage(store, message, clock.now())) return false;
    if (command) outbox.add(message.chatId, command.run(group));
    else if (!message.wakes)
      trimContext(store, message.chatId, limits.contextMessagesMax, clock.now());
    return true;
  }

  /** Saves a file into the group's folder; a problem becomes a line that takes its place. */
  async #keep(file: IncomingAttachment, group: Group): Promise<Attachment | string> {
    const { config, limits, log, clock } = this.#deps;
    const day = new Date(clock.now()).toISOString().slice(0, 10);
    const safeName = file.name.replace(/[^\p{L}\p{N}._-]/gu, '_').slice(-80);
    const path = `media/${day}-${randomUUID().slice(0, 8)}-${safeName}`;
    try {
      const sizeBytes = await createInside(
        join(config.groupsDir, group.folder),
        path,
        await file.open(),
        {
          bytesMax: limits.attachmentBytesMax,
          timeoutMs: limits.attachmentTimeoutMs,
          uid: group.uid,
        },
      );
      return { kind: file.kind, path, name: file.name, mime: file.mime, sizeBytes };
    } catch (error) {
      log.warn({ err: error, group: group.folder, name: file.name }, 'an attachment was not kept');
      const problem = error instanceof UserError ? error.message : 'it could not be read';
      return `[${file.kind} ${file.name} is missing: ${problem}]`;
    }
  }
}

function cutText(text: string, max: number): string {
  const more = text.length - max;
  return more > 0 ? `${text.slice(0, max)}\n[${more} more characters were cut]` : text;
}
