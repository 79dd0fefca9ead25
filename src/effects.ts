/**
 * What an agent's files do: each becomes one effect, committed with the mark that says that it
 * was applied. Requests are authorised by who speaks, never by what they say.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import mime from 'mime';
import type { Base } from './base.ts';
import { handlePrompt, hasOpenMessages } from './db/messages.ts';
import { saveSession, saveSessionCost } from './db/runs.ts';
import { addUsage, endTurn, findOpenTurn, type Turn } from './db/turns.ts';
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
  /** The turn's last prompt is answered, or the model failed. */
  turnEnded(turn: Turn, end: TurnEnd): void;
}

type TurnDone = Extract<OutFile, { kind: 'turn_done' }>;

export class Effects {
  readonly #deps: EffectDependencies;

  constructor(deps: EffectDependencies) {
    this.#deps = deps;
  }

  /** Resolves to what the file does; slow work is done by then. Rejects only on a host's fault. */
  async of(speaker: Speaker, file: OutFile): Promise<Effect> {
    const { store, clock, showActivity } = this.#deps;
    const { agent } = speaker;
    switch (file.kind) {
      case 'session':
        return { commit: () => saveSession(store, agent.id, file.sessionId, clock.now()) };
      case 'progress':
        return { after: () => showActivity(agent, file.text) };
      case 'reply':
        return this.#say(agent, file.text);
      case 'request':
        return this.#request(speaker, file.requestId, file.request);
      case 'turn_done':
        return this.#turnDone(agent, file);
      case 'failed':
        return { after: () => speaker.kill(file.reason, file.detail) };
    }
  }

  #say({ id, group: { chatId } }: Agent, text: string, file?: OutboundFile): Effect {
    const { outbox, store } = this.#deps;
    return {
      commit: () => {
        const turnId = findOpenTurn(store, id)?.id;
        outbox.add(chatId, stripInternal(text), { turnId, file });
      },
      after: () => outbox.flush(chatId),
    };
  }

  async #request(speaker: Speaker, requestId: string, request: AgentRequest): Promise<Effect> {
    const answer = (ok: boolean, text: string) =>
      speaker.send({ kind: 'response', requestId, ok, text });
    try {
      const { effect, text } = await this.#carryOut(speaker.agent, request);
      const after = () => {
        effect.after?.();
        answer(true, text);
      };
      return { ...effect, after };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const { message } = error;
      this.#deps.log.warn({ agent: speaker.agent.id, tool: request.tool, message }, 'refused');
      return { after: () => answer(false, message) };
    }
  }

  async #carryOut(agent: Agent, request: AgentRequest): Promise<{ effect: Effect; text: string }> {
    switch (request.tool) {
      case 'send_message':
        if (!stripInternal(request.args.text)) throw new UserError('There is nothing to send.');
        return { effect: this.#say(agent, request.args.text), text: 'Sent.' };
      case 'send_file': {
        const file = await this.#takeFile(agent, request.args.path);
        const text = `Sent ${file.name} (${file.sizeBytes} bytes).`;
        return { effect: this.#say(agent, request.args.caption ?? '', file), text };
      }
    }
  }

  /** Copies a file out of the group's folder, so that nothing can change it until it is sent. */
  async #takeFile(agent: Agent, path: string): Promise<OutboundFile> {
    const { config, limits } = this.#deps;
    const dir = join(config.dataDir, 'files');
    mkdirSync(dir, { recursive: true });
    const name = basename(path);
    const copy = join(dir, `${randomUUID()}-${name.replace(/[^\w.-]/g, '_').slice(-60)}`);
    const sizeBytes = await copyInside(
      join(config.groupsDir, agent.group.folder),
      posix.relative(inside.group, posix.resolve(inside.group, path)),
      copy,
      { bytesMax: limits.sendFileBytesMax },
    );
    const type = mime.getType(name) ?? 'application/octet-stream';
    return { path: copy, name, mime: type, sizeBytes };
  }

  #turnDone(agent: Agent, file: TurnDone): Effect {
    const { store, outbox, turnEnded } = this.#deps;
    const turn = findOpenTurn(store, agent.id);
    if (!turn) return {};
    let isOver = false;
    return {
      commit: () => {
        this.#saveUsage(agent, turn, file);
        if (!file.error) isOver = this.#answer(agent, turn, file);
      },
      after: () => {
        outbox.flush(agent.group.chatId);
        if (file.error) turnEnded(turn, { kind: 'model-error', error: file.error });
        else if (isOver) turnEnded(turn, { kind: 'done' });
      },
    };
  }

  /** Reply, handled messages and perhaps the end of the turn: one transaction. */
  #answer(agent: Agent, turn: Turn, { uuids, text }: TurnDone): boolean {
    const { store, outbox, clock } = this.#deps;
    const answered = uuids.filter((uuid) => handlePrompt(store, turn.id, uuid, clock.now()));
    if (answered.length === 0) return false;
    outbox.add(agent.group.chatId, stripInternal(text), { turnId: turn.id });
    if (hasOpenMessages(store, turn.id)) return false;
    endTurn(store, turn.id, 'done', null, clock.now());
    return true;
  }

  #saveUsage(agent: Agent, turn: Turn, file: TurnDone): void {
    const { store, clock } = this.#deps;
    const { sessionId, totalCostUsd, inputTokens, outputTokens } = file;
    saveSession(store, agent.id, sessionId, clock.now());
    const costUsd = saveSessionCost(store, agent.id, totalCostUsd);
    addUsage(store, turn.id, { costUsd, inputTokens, outputTokens });
  }
}
