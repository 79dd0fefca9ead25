/**
 * What an agent's files do. Each becomes one function, which runs in the transaction that moves the
 * run's mark. Who speaks decides what a request may do, never what it says.
 */
import type { Agents } from './agents.ts';
import type { Base } from './base.ts';
import { loadAgent } from './db/agents.ts';
import { countWaitingFrom, handlePrompts, hasOpenMessages } from './db/messages.ts';
import { countOfTurn } from './db/outbox.ts';
import { saveSession } from './db/runs.ts';
import { endTurn, findLastTurnId, findOpenTurn, saveUsage, type Turn } from './db/turns.ts';
import { stripInternal } from './format.ts';
import type { Commit, Speaker } from './ipc.ts';
import { type Outcome, settle } from './outcome.ts';
import type { OutFile } from './protocol.ts';
import type { Tools } from './tools.ts';
import type { TurnEnd } from './turn-end.ts';
import type { Agent } from './types.ts';

export interface EffectDependencies extends Base {
  agents: Agents;
  tools: Tools;
  turnEnded(turn: Turn, end: TurnEnd): void;
}

/**
 * Does the slow work before the transaction, and resolves to the rest. That throws on an error of
 * the host; the file then stays and is tried again.
 */
export async function effectOf(
  deps: EffectDependencies,
  speaker: Speaker,
  file: OutFile,
): Promise<Commit> {
  const { store, agents } = deps;
  // As it is now: its chat may have changed since its container was started.
  const agent = loadAgent(store, speaker.agent.id);
  switch (file.kind) {
    case 'session':
      return () => saveSession(store, agent.id, file.sessionId);
    case 'progress':
      return () => {
        if (findOpenTurn(store, agent.id))
          store.afterCommit(() => agents.showActivity(agent, file.text));
      };
    case 'reply':
      return () => sayMore(deps, agent, file.text);
    case 'request':
      return answerRequest(deps, speaker, agent, file);
    case 'turn_done':
      return () => takeAnswer(deps, agent, file);
    case 'failed':
      return () => store.afterCommit(() => speaker.kill(file.reason, file.detail));
  }
}

/** What is said after the end of a turn counts towards that turn's limit. */
function sayMore({ agents, store, limits }: EffectDependencies, agent: Agent, text: string): void {
  const turnId = findLastTurnId(store, agent.id);
  if (turnId === undefined) return;
  const said = countOfTurn(store, turnId) + countWaitingFrom(store, agent.id);
  if (said >= limits.messagesPerTurnMax) return;
  agents.say(agent, { kind: 'text', text: stripInternal(text), about: null }, turnId);
}

async function answerRequest(
  { tools, store, log }: EffectDependencies,
  speaker: Speaker,
  agent: Agent,
  { requestId, tool, args }: Extract<OutFile, { kind: 'request' }>,
): Promise<Commit> {
  const decide = await tools.prepare(agent, tool, args).then(
    (outcome) => () => outcome,
    // `settle` answers a UserError and throws any other.
    (error) => (): Outcome => {
      throw error;
    },
  );
  return () => {
    const answer = settle(store, decide);
    if (!answer.ok) log.warn({ agent: agent.id, tool, reason: answer.text }, 'refused');
    store.afterCommit(() => speaker.send({ kind: 'response', requestId, ...answer }));
  };
}

/** Commits together the reply, the handled messages and, if no message is open, the turn's end. */
function takeAnswer(
  { store, agents, clock, turnEnded }: EffectDependencies,
  agent: Agent,
  { uuids, text, error, sessionId, ...usage }: Extract<OutFile, { kind: 'turn_done' }>,
): void {
  const turn = findOpenTurn(store, agent.id);
  if (!turn) return;
  saveSession(store, agent.id, sessionId);
  saveUsage(store, turn, usage);
  if (error) {
    store.afterCommit(() => turnEnded(turn, { kind: 'model-error', error }));
    return;
  }
  const handled = handlePrompts(store, turn.id, uuids, clock.now());
  if (handled.length === 0) return;
  const call = handled.findLast(({ role }) => role === 'wakes');
  // Where several people write, a reply shows whom it answers.
  const isQuoted = agent.group.requiresTrigger && call?.sender.kind === 'person';
  const about = isQuoted ? { messageId: call.id, senderId: call.sender.id, text: call.text } : null;
  agents.say(agent, { kind: 'text', text: stripInternal(text), about }, turn.id);
  if (hasOpenMessages(store, turn.id)) return;
  endTurn(store, turn.id, 'done', null, clock.now());
  store.afterCommit(() => turnEnded(turn, { kind: 'done' }));
}
