/**
 * The way in: stores what channels bring, before anything else happens to it, and decides
 * whom it concerns: the host itself (a command), the group's agent, or nobody yet (context).
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Base } from './base.ts';
import type { FindCommand } from './commands.ts';
import { findGroupByChat, noteChat } from './db/groups.ts';
import {
  editMessage,
  emptyMessage,
  findMessage,
  hasMessage,
  type NewMessage,
  saveMessage,
  trimContext,
} from './db/messages.ts';
import { mentions } from './format.ts';
import { step } from './log.ts';
import type { Outbox } from './outbox.ts';
import { createInside, removeInside } from './safe-open.ts';
import {
  type Amendment,
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
  tellOwner(text: string): void;
}

interface Arrival {
  group: Group;
  command: ReturnType<FindCommand>;
  /** Would have woken the agent, but comes too late for an answer. */
  isStale: boolean;
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
    for (const { chatId, sentAtMs } of messages) noteChat(store, chatId, null, sentAtMs);
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
  tellStale(deps, fresh);
}

/**
 * A message that no prompt holds yet changes, or goes with its files. Of a later edit the agent
 * is told; what was prompted is emptied in the store.
 */
export async function amend(deps: RouterDependencies, amendment: Amendment): Promise<void> {
  const { store, clock, config } = deps;
  const { chatId, id, messageId, senderId, text, sentAtMs } = amendment;
  const message = findMessage(store, chatId, messageId);
  const group = findGroupByChat(store, chatId);
  if (!message || !group || (senderId !== null && senderId !== message.senderId)) return;
  if (text === null) {
    emptyMessage(store, message.seq, clock.now());
    const dir = join(config.groupsDir, group.folder);
    for (const { path } of message.attachments) removeInside(dir, path);
  } else if (message.isPrompted) {
    const { senderName, text: was } = message;
    const quote = { messageId, senderName, text: was };
    const edited = { chatId, id, senderId: message.senderId, senderName, sentAtMs, quote };
    const call = { isAddressed: message.wakes, isContext: !message.wakes };
    await receive(deps, [{ ...edited, ...call, text: `[edited] ${text}`, attachments: [] }]);
  } else {
    const calls =
      !isLate(deps, sentAtMs) && isCall(deps, { senderId: message.senderId, text }, group);
    const wakes = message.wakes || calls;
    editMessage(store, message.seq, cutText(text, deps.limits.messageTextMax), wakes);
    if (wakes) deps.wake(group.folder);
  }
}

type Caller = Pick<InboundMessage, 'senderId' | 'text' | 'isAddressed' | 'isContext'>;

/** Whether the message wakes the group's agent: by whom it is from and what it says. */
function isCall({ config }: RouterDependencies, message: Caller, group: Group): boolean {
  if (message.isContext || !mayTrigger(message, group)) return false;
  if (group.isMain || !group.requiresTrigger || message.isAddressed) return true;
  return mentions(message.text, config.assistantName);
}

/** Nothing shuts the owner out of the main chat. */
function mayTrigger({ senderId }: Caller, { isMain, triggeredBy }: Group): boolean {
  return isMain || triggeredBy === null || triggeredBy.includes(senderId);
}

/** Too late for an answer. */
function isLate({ clock, limits }: RouterDependencies, sentAtMs: number): boolean {
  return clock.now() - sentAtMs > limits.staleMessageMs;
}

function tellStale({ limits, tellOwner }: RouterDependencies, arrivals: Arrival[]): void {
  const stale = arrivals.filter(({ isStale }) => isStale);
  for (const group of new Set(stale.map(({ group }) => group))) {
    const count = stale.filter((arrival) => arrival.group === group).length;
    tellOwner(
      `${count} messages in "${group.name}" came more than ${limits.staleMessageMs / 3_600_000} hours late. I have read them but answer only if asked again.`,
    );
  }
}

async function prepare(
  deps: RouterDependencies,
  message: InboundMessage,
  group: Group,
): Promise<Arrival> {
  const { limits } = deps;
  const isStale = isLate(deps, message.sentAtMs);
  const isMute = isStale || message.isContext || !mayTrigger(message, group);
  const command = isMute ? undefined : deps.findCommand(message);
  const calls = !command && isCall(deps, message, group);
  const offered = message.attachments.slice(0, limits.attachmentsMax);
  const kept = await Promise.all(offered.map((file) => keep(deps, file, group)));
  const problems = kept.filter((file) => typeof file === 'string');
  return {
    group,
    command,
    isStale: isStale && calls,
    message: {
      ...message,
      quote: message.quote ?? null,
      text: [cutText(message.text, limits.messageTextMax), ...problems].join('\n'),
      attachments: kept.filter((file) => typeof file !== 'string'),
      wakes: calls && !isStale,
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
  if (command) outbox.add(message.chatId, command(group));
  return true;
}
