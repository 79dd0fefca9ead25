/**
 * Groups with several agents, whose host is killed at chosen instants of the second agent's work.
 * Each message and each post must be answered once, by the agent and in the chat that it was for.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { contentText } from '../../src/cli/demo/messages-server.ts';
import {
  type ScriptedCall,
  type ScriptedModel,
  startScriptedModel,
  unanswered,
} from '../scripted-model/scripted-model.ts';
import { bundleHost } from '../support/bundled-host.ts';
import { remains } from '../support/storm.ts';
import { StormHost } from '../support/storm-host.ts';
import { TestTerminal } from '../support/terminal.ts';

/** From the commit of a post to the delivery of its answer. */
const steps = [
  'message-stored',
  'turn-claimed@helper',
  'container-spawned@helper',
  'prompt-handed@aide',
  'effect-committed:4',
  'turn-done@helper',
  'turn-done@scout',
  'delivery-sent:4',
];

test('kills while several agents of a group work lose, double and misdirect nothing', async () => {
  const { model, main, family, host, home } = await startCrashes();
  const expected: string[] = [];
  let numbers = 0;
  const say = (terminal: TestTerminal, agent: string, words = '') => {
    numbers += 1;
    terminal.tell(`@Andy number ${numbers} ${words}`, [], `m-${numbers}`);
    expected.push(`${agent} -: answered #${numbers}`);
  };
  /** `answer` is who says in the chat what came of it. */
  const post = (terminal: TestTerminal, agentId: string, answer: string, words = '') => {
    numbers += 1;
    terminal.tell(`/post ${agentId} p-${numbers} number ${numbers} ${words}`, [], `m-${numbers}`);
    const group = terminal === main ? 'main' : 'family';
    expected.push(`${group} -: Posted p-${numbers}.`, `${group} ${answer} #${numbers}`);
  };
  const sendAll = () => {
    post(main, 'helper', 'Helper: answered');
    post(main, 'scout', '-: relayed');
    post(family, 'aide', 'Aide: answered');
    say(main, 'main');
    say(family, 'family');
  };

  await host.start();
  for (const [terminal, agent] of [
    [main, { id: 'helper' }],
    [main, { id: 'scout', voice: { kind: 'agent', agentId: 'main' } }],
    [family, { id: 'aide', voice: { kind: 'chat', as: 'Aide' } }],
  ] as const) {
    await terminal.say(`/create ${JSON.stringify(agent)}`);
    expect(await terminal.nextText()).toBe(`Created ${agent.id}.`);
    expected.push(`${terminal === main ? 'main' : 'family'} -: Created ${agent.id}.`);
  }
  const release = answerNumbers(model);
  say(main, 'main', 'held');
  post(main, 'helper', 'Helper: answered', 'held');
  await bothAtWork(model);
  await host.kill();
  release();
  for (const step of steps) {
    await host.start(step);
    sendAll();
    expect(await host.diesBySelf(), step).toBe(1);
  }
  await host.start();
  for (const terminal of [main, family]) {
    await terminal.until(() => terminal.unstored === 0 || undefined, 'all to be stored');
    expect(await terminal.settled()).toBe('settled');
  }
  await host.stop();
  expect([...heard('main', main), ...heard('family', family)].sort()).toEqual(expected.sort());
  expect(remains(home)).toEqual([]);
}, 180_000);

async function startCrashes() {
  const home = mkdtempSync(join(tmpdir(), 'nanoclaw-crashes-'));
  const model = await startScriptedModel();
  onTestFinished(async () => {
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });
  const environment = {
    NANOCLAW_HOME: home,
    ANTHROPIC_API_KEY: 'the-real-key',
    ANTHROPIC_BASE_URL: model.url,
  };
  const socketPath = join(home, 'data', 'nanoclaw.sock');
  const main = new TestTerminal(socketPath);
  const family = new TestTerminal(socketPath, 'family', 'Maria');
  const module = 'test/support/agents-feature.ts';
  const program = await bundleHost({ module, name: 'withAgents' });
  const host = new StormHost(environment, [main, family], { program });
  onTestFinished(() => host.kill());
  return { model, main, family, host, home };
}

/**
 * Has the model answer `number 7` with `answered #7`, and the scout's `answered #7` with
 * `relayed #7`. What is `held` waits until the function that it returns is called.
 */
function answerNumbers(model: ScriptedModel): () => void {
  let isHeld = true;
  const script = model.on(/number \d|answered #/);
  for (let step = 0; step < 20; step += 1)
    script.answer((call) => {
      const text = textSinceAnswer(call);
      if (isHeld && text.includes('held')) return unanswered;
      const asked = text.matchAll(/number (\d+)/g);
      const told = text.matchAll(/from="agent scout"[^>]*>([^<]*)</g);
      const answered = numbersIn([...asked].map(([, number]) => `#${number}`).join(' '));
      const relayed = numbersIn([...told].map(([, words]) => words).join(' '));
      return [...say('answered', answered), ...say('relayed', relayed)].join('; ');
    });
  return () => {
    isHeld = false;
  };
}

function say(verb: string, numbers: string[]): string[] {
  return numbers.length > 0 ? [`${verb} ${numbers.join(' ')}`] : [];
}

function numbersIn(text: string): string[] {
  return [...new Set(text.match(/#\d+/g))];
}

/** What has come in since the agent last answered; attempts that were cut short are part of it. */
function textSinceAnswer({ body }: ScriptedCall): string {
  const last = body.messages.findLastIndex(({ role }) => role === 'assistant');
  return body.messages
    .slice(last + 1)
    .map(({ content }) => contentText(content))
    .join('\n');
}

async function bothAtWork(model: ScriptedModel): Promise<void> {
  const first = await model.call(/held/);
  await model.call(({ said, sessionId }) => said.includes('held') && sessionId !== first.sessionId);
}

/** `family Aide: answered #7`, once for each time that somebody in the chat could read it. */
function heard(group: string, { delivered }: TestTerminal): string[] {
  return delivered.flatMap(({ text }) => {
    const [, speaker = '-', words = ''] = /^(?:\*(\w+)\* )?([\s\S]*)$/.exec(text) ?? [];
    const parts = words.split('; ').flatMap((part) => {
      const [, verb] = /^(answered|relayed) #/.exec(part) ?? [];
      return verb ? numbersIn(part).map((number) => `${verb} ${number}`) : [part];
    });
    return parts.map((part) => `${group} ${speaker}: ${part}`);
  });
}
