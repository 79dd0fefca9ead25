/**
 * Puts an agent's messages into prompts. What wakes the agent is never left out, only spread over
 * several prompts; of the context before it, the newest is kept. Lengths are those of the finished
 * text, in UTF-16 units.
 */
import { randomUUID } from 'node:crypto';
import type { Base } from './base.ts';
import {
  assignPrompt,
  dropContext,
  type FoundMessage,
  listUnprompted,
  takeOmittedCount,
} from './db/messages.ts';
import { listTextsOfTurn } from './db/outbox.ts';
import { formatPrompt, messageFormatter } from './format.ts';
import type { InFile } from './protocol.ts';
import { clip } from './text.ts';
import type { Agent, Attachment, StoredMessage } from './types.ts';

export interface PromptDependencies extends Pick<Base, 'store' | 'clock' | 'limits'> {
  /** Called when an agent has taken up these messages. */
  showTaken(messages: StoredMessage[]): void;
}

/** The types that the Messages API takes as image blocks. */
const shownImages = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp']);

interface Written {
  message: FoundMessage;
  xml: string;
}

/** Joins the caller's transaction. `interruptedBy`: why an earlier attempt was cut short. */
export function takePrompts(
  deps: PromptDependencies,
  agent: Agent,
  turnId: number,
  interruptedBy: string | null,
): InFile[] {
  const { store, limits, showTaken } = deps;
  const prompts: InFile[] = [];
  let waiting = listWaiting(deps, agent, turnId);
  for (let reason = interruptedBy; waiting.length > 0; reason = null) {
    const uuid = randomUUID();
    const taken = waiting.slice(0, Math.max(1, countFitting(waiting, limits.promptTextMax)));
    waiting = waiting.slice(taken.length);
    const messages = taken.map(({ message }) => message);
    assignPrompt(store, turnId, uuid, messages.at(-1)?.seq ?? 0);
    store.afterCommit(() => showTaken(messages));
    const text = formatPrompt(
      taken.map(({ xml }) => xml),
      {
        group: agent.group,
        omitted: takeOmittedCount(store, agent.inbox),
        interrupted:
          reason === null ? null : { reason, alreadySent: listTextsOfTurn(store, turnId) },
      },
    );
    const images = shownOf(messages, limits).map(({ groupPath }) => groupPath);
    prompts.push({ kind: 'prompt', uuid, text, images });
  }
  return prompts;
}

/** Of many images, the newest that wake the agent, then the newest of the context. */
function shownOf(messages: FoundMessage[], limits: Base['limits']): Attachment[] {
  const imagesOf = (some: FoundMessage[]) =>
    some
      .flatMap(({ attachments }) => attachments)
      .filter(({ mime, sizeBytes }) => shownImages.has(mime) && sizeBytes <= limits.imageBytesMax);
  const context = messages.filter(isContext);
  const calls = messages.filter((message) => !isContext(message));
  let bytes = 0;
  const shown = [...imagesOf(context), ...imagesOf(calls)]
    .slice(-limits.imagesMax)
    .reverse()
    .filter(({ sizeBytes }) => {
      bytes += sizeBytes;
      return bytes <= limits.imagesBytesMax;
    });
  return imagesOf(messages).filter((image) => shown.includes(image));
}

/** What is in no prompt yet: all that wakes, and of the context as much as is allowed. */
function listWaiting(
  { store, clock, limits }: PromptDependencies,
  { inbox }: Agent,
  turnId: number,
): Written[] {
  const format = messageFormatter();
  const waiting = listUnprompted(store, turnId).map((message) => {
    const text = clip(message.text, limits.contextMessageTextMax, ' [cut here]');
    return { message, xml: format(isContext(message) ? { ...message, text } : message) };
  });
  const newestFirst = waiting.filter(({ message }) => isContext(message)).reverse();
  const surplus = newestFirst.slice(countFitting(newestFirst, limits.contextTextMax));
  if (surplus.length === 0) return waiting;
  const seqs = surplus.map(({ message }) => message.seq);
  dropContext(store, inbox, seqs, clock.now());
  return waiting.filter((each) => !surplus.includes(each));
}

/** What the host tells an agent is bounded already, and no flood of people's messages drops it. */
function isContext({ role, sender }: FoundMessage): boolean {
  return role === 'context' && sender.kind === 'person';
}

/** How many of the first ones take at most `max` together. */
function countFitting(written: Written[], max: number): number {
  let length = 0;
  const end = written.findIndex(({ xml }) => {
    length += xml.length + 1;
    return length > max;
  });
  return end < 0 ? written.length : end;
}
