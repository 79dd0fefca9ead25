/**
 * The way in: stores what channels bring, before anything else happens to it, and decides
 * whom it concerns: the host itself (a command), the group's agent, or nobody yet (context).
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Base } from './base.ts';
import type { Command, FindCommand } from './commands.ts';
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
  findCommand: FindCommand;
  /** There is work for the agent. */
  wake(agentId: string): void;
}

interface Arrival {
  group: Group;
  command: Command | undefined;
  message: NewMessage;
}

/**
 * Resolves when all are committed, in the order given. A message that comes again changes
 * nothing. Of chats without a group only the time is kept.
 */
export async function receive(deps: RouterDependencies, messages: InboundMessage[]): Promise<void> {
  const { store, log, clock, limits, outbox, wake } = deps;
  const arrivals: Arrival[] = [];
  for (const message of messages) {
    const group = findGroupByChat(store, message.chatId);
    if (group && !hasMessage(store, message.chatId, message.id))
      arrivals.push(await prepare(deps, message, group));
  }
  const fresh = store.transaction(() => {
    for (const { chatId, sentAtMs } of messages) touchChat(store, chatId, sentAtMs);
    const saved = arrivals.filter((arrival) => save(deps, arrival));
    for (const chatId of new Set(saved.map(({ message }) => message.chatId)))
      trimContext(store, chatId, limits.contextMessagesMax, clock.now());
    return saved;
  });
  for (const { message, group } of fresh) {
    step(log, 'message-stored', { chatId: message.chatId, id: message.id });
    if (message.wakes) wake(group.folder);
    if (message.isHandled) outbox.flush(message.chatId);
  }
}

async function prepare(
  deps: RouterDependencies,
  message: InboundMessage,
  group: Group,
): Promise<Arrival> {
  const { config, limits } = deps;
  const command = deps.findCommand(message.text);
  const isTriggered = !group.requiresTrigger || mentions(message.text, config.assistantName);
  const offered = message.attachments.slice(0, limits.attachmentsMax);
  const kept = await Promise.all(offered.map((file) => keep(deps, file, group)));
  const problems = kept.filter((file) => typeof file === 'string');
  return {
    group,
    command,
    message: {
      ...message,
      quote: message.quote ?? null,
      text: [cutText(message.text, limits.messageTextMax), ...problems].join('\n'),
      attachments: kept.filter((file) => typeof file !== 'string'),
      wakes: isTriggered && !command,
      isHandled: Boolean(command),
    },
  };
}

/** Into the group's folder; a problem becomes a line that takes the file's place. */
async function keep(
  { config, limits, log, clock }: RouterDependencies,
  file: IncomingAttachment,
  group: Group,
): Promise<Attachment | string> {
  const { kind, name, mime } = file;
  const day = new Date(clock.now()).toISOString().slice(0, 10);
  const safeName = name.replace(/[^\p{L}\p{N}._-]/gu, '_').slice(-60);
  const path = `media/${day}-${randomUUID().slice(0, 8)}-${safeName}`;
  const dir = join(config.groupsDir, group.folder);
  try {
    const sizeBytes = await createInside(dir, path, await file.open(), {
      bytesMax: limits.attachmentBytesMax,
      timeoutMs: limits.attachmentTimeoutMs,
      uid: group.uid,
    });
    return { kind, path, name, mime, sizeBytes };
  } catch (error) {
    log.warn({ err: error, group: group.folder, name }, 'an attachment was not kept');
    const problem = error instanceof UserError ? error.message : 'it could not be read';
    return `[${kind} ${name} is missing: ${problem}]`;
  }
}

/** Without zero characters as well: SQLite would end the text there. */
function cutText(original: string, max: number): string {
  const text = original.replaceAll('\0', '\uFFFD');
  const more = text.length - max;
  return more > 0 ? `${text.slice(0, max)}\n[${more} more characters were cut]` : text;
}

/** False when it was there already. A command takes effect in the same transaction. */
function save(
  { store, clock, outbox }: RouterDependencies,
  { message, group, command }: Arrival,
): boolean {
  if (!saveMessage(store, message, clock.now())) return false;
  if (command) outbox.add(message.chatId, command.run(group));
  return true;
}
