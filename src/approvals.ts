/**
 * Commands that wait for the owner's yes. An agent asks for one; it is stored as it was parsed, shown
 * in the main chat as it would be applied, and applied when the owner answers. Nobody else's word
 * counts, and no text is read to find out what an answer is about: only ids.
 */
import { randomUUID } from 'node:crypto';
import { type Agents, theHost } from './agents.ts';
import type { Base } from './base.ts';
import { every } from './clock.ts';
import type { Command, FindCommand } from './commands.ts';
import { findAgent } from './db/agents.ts';
import {
  type Approval,
  type ApprovalState,
  endApproval,
  findApproval,
  findSameApproval,
  listApprovals,
  listShownBy,
  saveApproval,
  saveShownBy,
} from './db/approvals.ts';
import { findMainGroup } from './db/groups.ts';
import { findSaid } from './db/outbox.ts';
import type { Outbox } from './outbox.ts';
import { type Outcome, settle } from './outcome.ts';
import { quoted } from './text.ts';
import { UserError } from './types.ts';

export interface ApprovalDependencies extends Base {
  agents: Agents;
  outbox: Outbox;
  findCommand(name: string): Command | undefined;
}

const validMs = 24 * 60 * 60_000;
const sweepEveryMs = 60_000;
/** Requests of one agent that wait at once. */
const pendingMax = 5;
/** In UTF-16 units. One message shows all that wait of an agent, and nothing is cut. */
const shownMax = 600;
/** What is asked for in quick succession is shown in one message. */
const gatherMs = 3000;

const answers = new Map([
  ...['ok', 'okay', 'yes', '👍', '✅'].map((word) => [word, true] as const),
  ...['no', '👎', '❌'].map((word) => [word, false] as const),
]);

export class Approvals {
  readonly #deps: ApprovalDependencies;
  #cancelShow = () => {};
  #cancelSweep = () => {};

  constructor(deps: ApprovalDependencies) {
    this.#deps = deps;
  }

  /** Shows at once what is not shown yet. What fails, such as on a full disk, is tried again. */
  start(): void {
    this.#cancelSweep();
    this.#cancelSweep = every(this.#deps, sweepEveryMs, () => {
      this.#expire();
      this.#show();
    });
  }

  stop(): void {
    this.#cancelShow();
    this.#cancelSweep();
  }

  /**
   * Asks the owner, in the caller's transaction. Returns what the agent is told now; it hears the
   * outcome as a post. Throws UserError when the owner would not see all of it, or has enough to
   * answer already.
   */
  ask<Args>(agentId: string, command: Command<Args>, args: Args): string {
    const { store, clock } = this.#deps;
    this.#expire();
    const shown = command.describe(args);
    const askedAtMs = clock.now();
    const json = JSON.stringify(args);
    const request = { agentId, command: command.name, args: json, shown, askedAtMs };
    const before = findSameApproval(store, request);
    const isAnswered = before?.state === 'rejected' && before.askedAtMs > askedAtMs - validMs;
    if (before?.state === 'pending' || isAnswered)
      return `You have asked your owner for that already: request ${before.id} is ${before.state}.`;
    if (shown.length > shownMax)
      throw new UserError('That is too long for your owner to see all of it. Ask for less.');
    if (listApprovals(store).filter((other) => other.agentId === agentId).length >= pendingMax)
      throw new UserError(
        `Your owner has ${pendingMax} requests of yours to answer. Ask for no more before that.`,
      );
    const id = saveApproval(store, request);
    store.afterCommit(() => {
      this.#cancelShow();
      this.#cancelShow = clock.after(gatherMs, () => this.start());
    });
    return `Your owner has been asked (request ${id}) to ${shown}. Nothing is changed yet. You will be told the answer.`;
  }

  /** One line for each request that waits. */
  list(): string[] {
    this.#expire();
    return listApprovals(this.#deps.store).map(describe);
  }

  /**
   * Answers a request, in the caller's transaction. Applies it if it still means what was shown, and
   * tells the agent. Returns the words for the owner.
   */
  answer(id: number, isYes: boolean): string {
    const { store } = this.#deps;
    this.#expire();
    const approval = findApproval(store, id);
    if (!approval) return `There is no request ${id}. To see all: /pending`;
    const { state, shown } = approval;
    if (state !== 'pending') return `Request ${id} is ${state} already.`;
    const { ok, text } = isYes
      ? settle(store, () => this.#outcomeOf(approval))
      : { ok: true, text: `Rejected: ${shown}` };
    const outcome = ok ? text : `Request ${id} could not be carried out: ${text}`;
    this.#end(approval, isYes ? (ok ? 'approved' : 'refused') : 'rejected', outcome);
    return outcome;
  }

  /** Finds the answer that the owner gives by a reply to what was shown, or by a reaction to it. */
  readonly findAnswer: FindCommand = ({ text, quote, reaction, isOwner, chatId }) => {
    const isYes = answers.get(plain(reaction?.emoji ?? text));
    const about = reaction?.messageId ?? quote?.messageId;
    if (!isOwner || isYes === undefined || about === undefined) return undefined;
    const { store } = this.#deps;
    const said = findSaid(store, chatId, about);
    const shown = said ? listShownBy(store, said.id) : [];
    if (shown.length === 0) return undefined;
    return ({ isMain }) => {
      if (!isMain) throw new UserError('That is answered in the main chat only.');
      const open = shown.filter(({ state }) => state === 'pending');
      const asked = open.length > 0 ? open : shown;
      if (isYes && asked.length > 1)
        throw new UserError(
          `That message asks for ${asked.length} things. Approve each: /approve ${asked.map(({ id }) => id).join(' ')}`,
        );
      return { commit: () => asked.map(({ id }) => this.answer(id, isYes)).join('\n') };
    };
  };

  #outcomeOf({ command: name, args, shown }: Approval): Outcome {
    const command = this.#deps.findCommand(name);
    const parsed = command?.approvable?.safeParse(JSON.parse(args));
    if (!command || !parsed?.success) throw new UserError('this version knows no such request.');
    const now = command.describe(parsed.data);
    if (now !== shown) throw new UserError(`things have changed. It would now mean to ${now}`);
    return command.apply(parsed.data);
  }

  #end({ id, agentId, shown }: Approval, state: ApprovalState, outcome: string): void {
    const { store, clock, agents } = this.#deps;
    endApproval(store, id, state, clock.now());
    if (!findAgent(store, agentId)) return;
    const text = `Your request ${id} (${shown}) is ${state}. ${outcome}`;
    // People may have written messages with any id. What nobody answered is no reason to speak up.
    agents.post(agentId, {
      id: randomUUID(),
      sender: theHost,
      text,
      isContext: state === 'expired',
    });
  }

  #expire(): void {
    const { store, clock } = this.#deps;
    const atMs = clock.now() - validMs;
    store.transaction(() => {
      for (const approval of listApprovals(store).filter(({ askedAtMs }) => askedAtMs <= atMs))
        this.#end(approval, 'expired', 'Your owner has not answered.');
    });
  }

  #show(): void {
    const { store, outbox } = this.#deps;
    store.transaction(() => {
      const chatId = findMainGroup(store)?.chatId;
      if (!chatId) return;
      const unshown = listApprovals(store).filter(({ outboxId }) => outboxId === null);
      for (const asker of new Set(unshown.map(({ agentId }) => agentId))) {
        const requests = unshown.filter(({ agentId }) => agentId === asker);
        const text = [...requests.map(describe), howToAnswer(requests)].join('\n');
        const outboxId = outbox.add(chatId, { kind: 'text', text, about: null });
        for (const { id } of requests) saveShownBy(store, id, outboxId);
      }
    });
  }
}

function describe({ id, agentId, shown }: Approval): string {
  return `Request ${id}: the agent ${quoted(agentId)} asks you to ${shown}.`;
}

function howToAnswer(requests: Approval[]): string {
  const [first, ...more] = requests.map(({ id }) => id);
  return more.length > 0
    ? `Answer by /approve ${first} or /reject ${first}; the reply no rejects all of them.`
    : `Reply ok or no to this message, or react with 👍 or 👎. On a terminal: /approve ${first} or /reject ${first}`;
}

/** Without the tone of a hand's skin, and without the mark that asks for a coloured picture. */
function plain(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replace(/[\u{1F3FB}-\u{1F3FF}\uFE0F]|[.!]$/gu, '');
}
