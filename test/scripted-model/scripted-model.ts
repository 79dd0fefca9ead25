/**
 * The tests' model: a real HTTP server that speaks the Messages API and plays scripts.
 * A script reads like the conversation that it plays:
 *
 *   const model = await startScriptedModel();
 *   model.on('hello').reply('hi');
 *   model.on(/list/).callTool('Bash', { command: 'ls' }).thenReply((result) => `I see ${result}`);
 *   model.on('busy').fail(529, { times: 3 }).reply('here I am');
 *   model.on('never').hang();          also: stall, malformed, html, empty
 *   model.otherwise('the answer to everything else');
 *   const call = await model.call('hello');   the call that brought this text to the model
 *
 * - A rule matches the text of the latest prompt, or of a message that joined during the turn.
 *   Reminders that the client adds are ignored. The rule that was added last wins.
 * - The position in a script comes from the request itself: the number of played answers is the
 *   number of assistant messages since the prompt. So each conversation keeps its own position,
 *   also across retries and restarts. After the end of a script the default answer follows.
 * - A fault (`fail`, `hang`, ...) lasts for ever, or for the first `times` requests of all
 *   conversations together. Then the script continues with the next step.
 * - `call` returns each received call once, so that two waits see two calls.
 */
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  contentText,
  type ModelBlock,
  type ModelCall,
  type ModelReply,
  startMessagesServer,
  toolUse,
} from '../../src/cli/demo/messages-server.ts';

export type Matcher = string | RegExp;

export interface ScriptedCall extends ModelCall {
  /** What people said since the last assistant message, without reminders; '' if nothing. */
  said: string;
  sessionId: string;
  /** On the clock of `performance.timeOrigin + performance.now()`, to compare processes. */
  receivedAtMs: number;
  /** Resolves when the client leaves before it has its answer. */
  cancelled: Promise<void>;
}

/** A text, or a function that makes one from the last tool result ('' without one). */
type Words = string | ((result: string, call: ScriptedCall) => string);
interface Pace {
  /** Before the first byte. */
  delayMs?: number;
}
interface Times {
  /** The number of requests that it applies to; unlimited when left out. */
  times?: number;
}
type Answer = (call: ScriptedCall) => ModelReply | Promise<ModelReply>;
type Step = { kind: 'answer'; answer: Answer } | { kind: 'fault'; answer: Answer; left: number };

export interface ScriptedModel {
  readonly url: string;
  /** All received calls, in order. */
  readonly calls: ScriptedCall[];
  on(matcher: Matcher): Script;
  /** The default answer. */
  otherwise(text: string): void;
  /**
   * Waits for the first call that matches, by what was said or by a predicate, and that was not
   * returned before. Rejects after `timeoutMs` with a list of the received calls.
   */
  call(
    matcher?: Matcher | ((call: ScriptedCall) => boolean),
    options?: { timeoutMs?: number },
  ): Promise<ScriptedCall>;
  close(): Promise<void>;
}

/** What the model does when a rule matches; every method adds one step and returns the script. */
export class Script {
  readonly #steps: Step[] = [];

  /** Says a text and ends the turn. */
  reply(words: Words, pace: Pace = {}): this {
    return this.answer(async (call) => {
      if (pace.delayMs) await sleep(pace.delayMs);
      return spell(words, call);
    });
  }

  thenReply(words: Words, pace?: Pace): this {
    return this.reply(words, pace);
  }

  /** Says a text in pieces, a second apart. */
  drip(pieces: string[]): this {
    return this.answer(async ({ response }) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(beginning);
      for (const text of pieces) {
        await sleep(1000);
        response.write(
          eventStream([
            { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
          ]),
        );
      }
      response.end(ending);
      return unanswered;
    });
  }

  /** Calls a tool, such as `Bash` or `mcp__nanoclaw__send_message`, perhaps after some words. */
  callTool(name: string, input: object, options: { saying?: string } = {}): this {
    return this.answer(() => {
      const words: ModelBlock[] = options.saying ? [{ type: 'text', text: options.saying }] : [];
      return [...words, toolUse(name, input)];
    });
  }

  thenCallTool(name: string, input: object, options?: { saying?: string }): this {
    return this.callTool(name, input, options);
  }

  /** Any other answer. */
  answer(answer: Answer): this {
    this.#steps.push({ kind: 'answer', answer });
    return this;
  }

  /** An API error. */
  fail(
    status: number,
    options: Times & { message?: string; headers?: Record<string, string> } = {},
  ): this {
    const { message = `scripted failure ${status}`, headers = {} } = options;
    return this.#fault(options, (response) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ type: 'error', error: { type: 'api_error', message } }));
    });
  }

  /** Never answers. */
  hang(options: Times = {}): this {
    return this.#fault(options, () => {});
  }

  /** Begins an answer and never continues it. */
  stall(options: Times = {}): this {
    return this.#fault(options, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(beginning);
    });
  }

  /** An event stream with broken events. */
  malformed(options: Times = {}): this {
    return this.#fault(options, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end('event: message_start\ndata: {"type":"message_start","mess\n\n');
    });
  }

  /** A web page with status 200, as captive portals send it. */
  html(options: Times = {}): this {
    return this.#fault(options, (response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<!doctype html><title>Welcome</title><p>Please log in.</p>');
    });
  }

  /** Status 200 and no body. */
  empty(options: Times = {}): this {
    return this.#fault(options, (response) => {
      response.writeHead(200);
      response.end();
    });
  }

  /** The connection is cut in the middle of an answer. */
  cut(options: Times = {}): this {
    return this.#fault(options, (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(beginning, () => response.destroy());
    });
  }

  /** The answer that follows `played` answers, or undefined at the end of the script. */
  play(played: number): Answer | undefined {
    let toSkip = played;
    for (const step of this.#steps) {
      if (step.kind === 'answer' && toSkip-- === 0) return step.answer;
      if (step.kind === 'fault' && toSkip === 0 && step.left > 0) {
        step.left -= 1;
        return step.answer;
      }
    }
    return undefined;
  }

  #fault(options: Times, respond: (response: ServerResponse) => void): this {
    const answer = ({ response }: ScriptedCall) => {
      respond(response);
      return unanswered;
    };
    this.#steps.push({ kind: 'fault', answer, left: options.times ?? Number.POSITIVE_INFINITY });
    return this;
  }
}

/** What an answer returns that has written to `call.response` itself, or leaves the call waiting. */
export const unanswered = new Promise<never>(() => {});

/** Starts a scripted model on loopback. `port` lets it take the place of an earlier one. */
export async function startScriptedModel(options: { port?: number } = {}): Promise<ScriptedModel> {
  const rules: { matcher: Matcher; script: Script }[] = [];
  const calls: ScriptedCall[] = [];
  const handedOut = new Set<ScriptedCall>();
  const arrivals = new EventEmitter().setMaxListeners(0);
  let defaultText = 'default answer';

  const server = await startMessagesServer({
    ...options,
    reply: (modelCall) => {
      const call = describeCall(modelCall);
      calls.push(call);
      arrivals.emit('call');
      const answer = findAnswer(rules, call);
      return answer?.(call) ?? defaultText;
    },
  });

  return {
    url: server.url,
    calls,
    on(matcher) {
      const script = new Script();
      rules.push({ matcher, script });
      return script;
    },
    otherwise(text) {
      defaultText = text;
    },
    async call(matcher = () => true, { timeoutMs = 30_000 } = {}) {
      const signal = AbortSignal.timeout(timeoutMs);
      const wanted = (call: ScriptedCall) =>
        typeof matcher === 'function' ? matcher(call) : matches(matcher, call.said);
      for (;;) {
        const found = calls.find((call) => !handedOut.has(call) && wanted(call));
        if (found) {
          handedOut.add(found);
          return found;
        }
        await once(arrivals, 'call', { signal }).catch(() => {
          const received = calls.map(({ said, toolResults }) =>
            JSON.stringify({ said, toolResults }),
          );
          throw new Error(
            `No call matched ${matcher} within ${timeoutMs} ms. Received:\n${received.join('\n')}`,
          );
        });
      }
    },
    close: () => server.close(),
  };
}

function eventStream(events: { type: string; [field: string]: unknown }[]): string {
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
}

const usage = { input_tokens: 1, output_tokens: 1 };

const beginning = eventStream([
  {
    type: 'message_start',
    message: {
      id: 'msg_stalled',
      type: 'message',
      role: 'assistant',
      model: 'scripted',
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage,
    },
  },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'I was about to' } },
]);

const ending = eventStream([
  { type: 'content_block_stop', index: 0 },
  { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage },
  { type: 'message_stop' },
]);

function describeCall(call: ModelCall): ScriptedCall {
  const { messages } = call.body;
  const fresh = messages.slice(messages.findLastIndex(({ role }) => role === 'assistant') + 1);
  const sessionId = call.headers['x-claude-code-session-id'];
  return {
    ...call,
    said: fresh.map(spokenText).filter(Boolean).join('\n'),
    sessionId: typeof sessionId === 'string' ? sessionId : '',
    receivedAtMs: performance.timeOrigin + performance.now(),
    cancelled: new Promise((resolve) => {
      call.response.once('close', () => {
        if (!call.response.writableFinished) resolve();
      });
    }),
  };
}

/** Searches backwards, up to the latest prompt, for a text that matches a rule. */
function findAnswer(
  rules: { matcher: Matcher; script: Script }[],
  call: ScriptedCall,
): Answer | undefined {
  let played = 0;
  for (const message of call.body.messages.toReversed()) {
    if (message.role === 'assistant') played += 1;
    const text = spokenText(message);
    if (!text) continue;
    const rule = rules.findLast(({ matcher }) => matches(matcher, text));
    if (rule) return rule.script.play(played);
    if (message.role === 'user' && !holdsToolResult(message)) return undefined;
  }
  return undefined;
}

type Message = ModelCall['body']['messages'][number];

/** What a person said in this message, without reminders; '' for the assistant's messages. */
function spokenText({ role, content }: Message): string {
  const text = contentText(content);
  if (role === 'user')
    return text.replace(/<system-reminder>[\s\S]*?<\/system-reminder>/g, '').trim();
  if (role !== 'system') return '';
  const followUps = text.matchAll(
    /The user sent a new message while you were working:\n([\s\S]*?)(?=\n\nThis is how Claude Code|$)/g,
  );
  return [...followUps].map((match) => match[1]).join('\n');
}

function holdsToolResult({ content }: Message): boolean {
  return typeof content !== 'string' && content.some(({ type }) => type === 'tool_result');
}

function matches(matcher: Matcher, text: string): boolean {
  return typeof matcher === 'string' ? text.includes(matcher) : text.search(matcher) >= 0;
}

function spell(words: Words, call: ScriptedCall): string {
  return typeof words === 'string' ? words : words(call.toolResults.at(-1) ?? '', call);
}
