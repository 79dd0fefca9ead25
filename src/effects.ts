/**
 * What an agent's files do: each becomes one effect, committed with the mark that says that it
 * was applied. Requests are authorised by who speaks, never by what they say.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import mime from 'mime';
import type { Base } from './base.ts';
import { handlePrompts, hasOpenMessages } from './db/messages.ts';
import { saveSession } from './db/runs.ts';
import { endTurn, findOpenTurn, saveUsage, type Turn } from './db/turns.ts';
import { stripInternal } from './format.ts';
import type { Effect, Speaker } from './ipc.ts';
import type { Outbox } from './outbox.ts';
import { type AgentRequest, inside, type OutFile } from './protocol.ts';
import { copyInside } from './safe-open.ts';
import type { TurnEnd } from './turn-end.ts';
import { type Agent, type OutboundFile, UserError } from './types.ts';

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
      return say(deps, agent, file.text);
    case 'request':
      return answerRequest(deps, speaker, file);
    case 'turn_done':
      return takeAnswer(deps, agent, file);
    case 'failed':
      return { after: () => speaker.kill(file.reason, file.detail) };
  }
}

function say(
  { outbox, store }: EffectDependencies,
  { id, group: { chatId } }: Agent,
  text: string,
  file?: OutboundFile,
): Effect {
  return {
    commit: () => outbox.add(chatId, stripInternal(text), findOpenTurn(store, id)?.id, file),
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
  switch (tool) {
    case 'send_message':
      if (!stripInternal(args.text)) throw new UserError('There is nothing to send.');
      return { effect: say(deps, agent, args.text), text: 'Sent.' };
    case 'send_file': {
      const file = await takeFile(deps, agent, args.path);
      const text = `Sent ${file.name} (${file.sizeBytes} bytes).`;
      return { effect: say(deps, agent, args.caption ?? '', file), text };
    }
  }
}

/** A copy, so that nothing can change it until it is sent. */
async function takeFile(
  { config, limits }: EffectDependencies,
  { group }: Agent,
  insidePath: string,
): Promise<OutboundFile> {
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
  { id, group: { chatId } }: Agent,
  { uuids, text, error, sessionId, ...usage }: Extract<OutFile, { kind: 'turn_done' }>,
): Effect {
  const turn = findOpenTurn(store, id);
  if (!turn) return {};
  let end: TurnEnd | undefined = error ? { kind: 'model-error', error } : undefined;
  return {
    commit: () => {
      saveSession(store, id, sessionId);
      saveUsage(store, turn, usage);
      if (error || !handlePrompts(store, turn.id, uuids, clock.now())) return;
      outbox.add(chatId, stripInternal(text), turn.id);
      if (hasOpenMessages(store, turn.id)) return;
      endTurn(store, turn.id, 'done', null, clock.now());
      end = { kind: 'done' };
    },
    after: () => {
      outbox.flush(chatId);
      if (end) turnEnded(turn, end);
    },
  };
}
