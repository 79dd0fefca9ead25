/**
 * How soon a command on WhatsApp is answered while the agent of the same chat has 200 messages
 * queued, and while it sends files of 60 MB.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { toolUse } from '../src/cli/demo/messages-server.ts';
import { startScriptedModel } from '../test/scripted-model/scripted-model.ts';
import { LinkedHost, writer } from './linked.ts';
import { median, rounded, say, took } from './measure.ts';

const floodMessages = 200;
const filesSent = 4;
const fileBytes = 60_000_000;
const rounds = 10;

/** In milliseconds, from the writer's phone to the writer's phone. */
export async function measureOvertaking(dir: string, runtimeName: string) {
  const home = join(dir, 'overtaking');
  mkdirSync(home);
  const model = await startScriptedModel();
  const words = Array.from({ length: floodMessages }, (_, index) =>
    toolUse('mcp__nanoclaw__send_message', { text: `word ${index}` }),
  );
  const film = () => toolUse('mcp__nanoclaw__send_file', { path: 'film.bin' });
  model
    .on('flood')
    .answer(() => words)
    .hang();
  model
    .on('films')
    .callTool('Bash', { command: `head -c ${fileBytes} /dev/urandom > film.bin` })
    .answer(() => Array.from({ length: filesSent }, film))
    .hang();
  const linked = await LinkedHost.start(home, model.url, runtimeName, { talking: 0, asking: 1 });
  const { number } = writer(0);
  let answers = 0;
  const ask = async (command: string, answer: string) => {
    await linked.server.say(number, command);
    await linked.server.hears(number, { text: answer, skip: answers });
  };
  /** The answers to /status from now on, and to the /stop that ends it. */
  const answered = async () => {
    const statusMs: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      statusMs.push(await took(() => ask('/status', '^(Here|Stopped)')));
      answers += 1;
    }
    const stopMs = await took(() => ask('/stop', '^(Here|Stopped|There)'));
    answers += 1;
    const worst = Math.max(...statusMs, stopMs);
    return { medianMs: rounded(median(statusMs), 0), worstMs: rounded(worst, 0) };
  };
  try {
    say('commands in a flood and during uploads');
    await linked.server.say(number, 'flood');
    await linked.server.hears(number, { text: 'word 4' });
    const flood = await answered();
    await linked.server.say(number, 'films');
    await model.call(({ toolResults }) => toolResults.length === filesSent);
    return { flood, uploads: await answered() };
  } finally {
    await linked.stop();
    await model.close();
  }
}
