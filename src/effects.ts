/**
 * What an agent's files do: each becomes one effect, committed with the mark that says that it
 * was applied. Requests are authorised by who speaks, never by what they say.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import mime from 'mime';
import type { Base } from './base.ts';
import { retention } from './config.ts';
import { findMessage, handlePrompts, hasOpenMessages } from './db/messages.ts';
import { countOfTurn, sumFileBytes } from './db/outbox.ts';
import { saveSession } from './db/runs.ts';
import { endTurn, findLastTurnId, findOpenTurn, saveUsage, type Turn } from './db/turns.ts';
import { stripInternal } from './format.ts';
import { describeChats, registerGroup } from './groups.ts';
import type { Effect, Speaker } from './ipc.ts';
import type { Outbox } from './outbox.ts';
import { type AgentRequest, inside, type OutFile } from './protocol.ts';
import { copyInside } from './safe-open.ts';
import type { TurnEnd } from './turn-end.ts';
import { type Agent, type OutboundFile, type OutboundMessage, UserError } from './types.ts';

export interface EffectDependencies extends Base {
  outbox: Outbox;
  showActivity(agent: Agent, text: string): void;
  turnEnded(turn: Turn, end: TurnEnd): void;
}

/** Does the slow work, and resolves to the rest. Rejects only on a host's fault. */
export async function effectOf(
  deps: EffectDependencies,
  speaker: Speaker,
  file: OutFile,
): Promise<Effect> {
  const { agent } = speaker;
  switch (file.kind) {
    case 'session':
      return { commit: () => saveSession(deps.store, agent.id, file.sessionId) };
    case 'progress':
      return { after: () => deps.showActivity(agent, file.text) };
    case 'reply':
      return hasSaidEnough(deps, agent) ? {} : say(deps, agent, file.text);
    case 'request':
      return answerRequest(deps, speaker, file);
    case 'turn_done':
      return takeAnswer(deps, agent, file);
    case 'failed':
      return { after: () => speaker.kill(file.reason, file.detail) };
  }
}

/** What comes after a turn's end counts as said in it. */
function hasSaidEnough({ store, limits }: EffectDependencies, { id }: Agent): boolean {
  const turnId = findLastTurnId(store, id);
  return turnId === undefined || countOfTurn(store, turnId) >= limits.messagesPerTurnMax;
}

function say(
  { outbox, store }: EffectDependencies,
  { id, group: { chatId } }: Agent,
  text: string,
  more: Partial<Pick<OutboundMessage, 'file' | 'about' | 'isReaction'>> = {},
): Effect {
  return {
    commit: () => {
      const turnId = findLastTurnId(store, id) ?? null;
      outbox.add(chatId, stripInternal(text), { ...more, turnId });
    },
    after: () => outbox.flush(chatId),
  };
}

async function answerRequest(
  deps: EffectDependencies,
  speaker: Speaker,
  { requestId, request }: Extract<OutFile, { kind: 'request' }>,
): Promise<Effect> {
  const { agent } = speaker;
  const answer = (ok: boolean, text: string) =>
    speaker.send({ kind: 'response', requestId, ok, text });
  try {
    const { effect, text } = await carryOut(deps, agent, request);
    const after = () => {
      effect.after?.();
      answer(true, text);
    };
    return { ...effect, after };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message } = error;
    deps.log.warn({ agent: agent.id, tool: request.tool, message }, 'refused');
    return { after: () => answer(false, message) };
  }
}

async function carryOut(
  deps: EffectDependencies,
  agent: Agent,
  { tool, args }: AgentRequest,
): Promise<{ effect: Effect; text: string }> {
  const speaks = tool !== 'list_groups' && tool !== 'register_group';
  if (speaks && hasSaidEnough(deps, agent))
    throw new UserError(
      `You have sent ${deps.limits.messagesPerTurnMax} messages in this turn, which is the most. Say the rest in your answer.`,
    );
  switch (tool) {
    case 'send_message':
      if (!stripInternal(args.text)) throw new UserError('There is nothing to send.');
      return { effect: say(deps, agent, args.text), text: 'Sent.' };
    case 'send_file': {
      const file = await takeFile(deps, agent, args.path);
      const text = `Sent ${file.name} (${file.sizeBytes} bytes).`;
      return { effect: say(deps, agent, args.caption ?? '', { file }), text };
    }
    case 'react': {
      const message = findMessage(deps.store, agent.group.chatId, args.message_id);
      if (!message) throw new UserError('There is no such message in this chat.');
      const about = { messageId: message.id, senderId: message.senderId, text: message.text };
      const effect = say(deps, agent, args.emoji, { about, isReaction: true });
      return { effect, text: 'Done.' };
    }
    case 'list_groups':
      return { effect: {}, text: describeChats(deps.store, agent) };
    case 'register_group':
      return { effect: {}, text: registerGroup(deps.store, agent, args) };
  }
}

/** A copy, so that nothing can change it until it is sent. */
async function takeFile(
  { config, limits, store, clock }: EffectDependencies,
  { group }: Agent,
  insidePath: string,
): Promise<OutboundFile> {
  const keptBytes = sumFileBytes(store, group.chatId, clock.now() - retention.filesMs);
  if (keptBytes + limits.sendFileBytesMax > limits.sentFilesBytesMax)
    throw new UserError(
      `The files that you have sent fill ${keptBytes} of the ${limits.sentFilesBytesMax} bytes that are kept. Send no more for some days.`,
    );
  const dir = join(config.dataDir, 'files');
  mkdirSync(dir, { recursive: true });
  const name = basename(insidePath);
  const path = join(dir, `${randomUUID()}-${name.replace(/[^\w.-]/g, '_').slice(-60)}`);
  const sizeBytes = await copyInside(
    join(config.groupsDir, group.folder),
    posix.relative(inside.group, posix.resolve(inside.group, insidePath)),
    path,
    { bytesMax: limits.sendFileBytesMax },
  );
  return { path, name, mime: mime.getType(name) ?? 'application/octet-stream', sizeBytes };
}

/** Reply, handled messages and perhaps the turn's end: one transaction. */
function takeAnswer(
  { store, outbox, clock, turnEnded }: EffectDependencies,
  { id, group }: Agent,
  { uuids, text, error, sessionId, ...usage }: Extract<OutFile, { kind: 'turn_done' }>,
): Effect {
  const turn = findOpenTurn(store, id);
  if (!turn) return {};
  let end: TurnEnd | undefined = error ? { kind: 'model-error', error } : undefined;
  return {
    commit: () => {
      saveSession(store, id, sessionId);
      saveUsage(store, turn, usage);
      if (error) return;
      const handled = handlePrompts(store, turn.id, uuids, clock.now());
      if (handled.length === 0) return;
      const calls = handled.filter(({ wakes }) => wakes).sort((a, b) => b.seq - a.seq);
      // Where several people write, a reply shows whom it answers.
      const about = (group.requiresTrigger && calls[0]) || null;
      outbox.add(group.chatId, stripInternal(text), { turnId: turn.id, about });
      if (hasOpenMessages(store, turn.id)) return;
      endTurn(store, turn.id, 'done', null, clock.now());
      end = { kind: 'done' };
    },
    after: () => {
      outbox.flush(group.chatId);
      if (end) turnEnded(turn, end);
    },
  };
}
