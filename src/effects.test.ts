import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFeatureHost } from '../test/support/feature-host.ts';
import { agentOf } from '../test/support/store.ts';
import { type Limits, retention } from './config.ts';
import { saveGroup } from './db/groups.ts';
import { listPending, refuseOutbound } from './db/outbox.ts';
import { endTurn, saveTurn } from './db/turns.ts';
import { effectOf } from './effects.ts';
import { features } from './features.ts';
import { mainGroup } from './groups.ts';
import type { Speaker } from './ipc.ts';
import type { InFile, OutFile } from './protocol.ts';
import { Tools } from './tools.ts';

/** An agent in a turn. Nothing is delivered to its chat. */
function startAgent(changes: Partial<Limits>) {
  const { host, store, clock, config, agents } = openFeatureHost(changes);
  saveGroup(store, mainGroup);
  const tools = new Tools(features.flatMap((feature) => feature.create(host).tools ?? []));
  const agent = agentOf({});
  const answers: InFile[] = [];
  const speaker: Speaker = {
    runId: 1,
    agent,
    send: (file) => void answers.push(file),
    kill: () => {},
    noteAlive: () => {},
  };
  const deps = { ...host, agents, tools, turnEnded: () => {} };
  async function put(file: OutFile): Promise<void> {
    const commit = await effectOf(deps, speaker, file);
    store.transaction(commit);
  }
  async function ask(request: Request) {
    await put({ kind: 'request', requestId: 'r', ...request });
    const answer = answers.at(-1);
    return answer?.kind === 'response' ? [answer.ok, answer.text] : [];
  }
  const groupDir = join(config.groupsDir, agent.group.folder);
  mkdirSync(groupDir, { recursive: true });
  saveTurn(store, 'main', 1);
  return { store, clock, groupDir, filesDir: join(config.dataDir, 'files'), put, ask };
}

interface Request {
  tool: string;
  args: Record<string, unknown>;
}

const chatId = 'terminal:main';
const said = (text: string): Request => ({ tool: 'send_message', args: { text } });
const sent = (path: string): Request => ({ tool: 'send_file', args: { path } });
const enough =
  'You have sent 2 messages in this turn, which is the most. Say the rest in your answer.';

test('a turn sends a limited number of messages of all kinds, and the next may send again', async () => {
  const { store, put, ask, groupDir, filesDir } = startAgent({ messagesPerTurnMax: 2 });
  const rows = () => store.get('SELECT count(*) AS n FROM outbox');
  writeFileSync(join(groupDir, 'a.txt'), 'a');
  expect(await ask(said('x'.repeat(5000)))).toEqual([true, 'Sent.']);
  expect(await ask(sent('a.txt'))).toEqual([true, 'Sent a.txt (1 bytes).']);
  expect(rows()).toEqual({ n: 2 });
  expect(await ask(said('more'))).toEqual([false, enough]);
  expect(await ask(sent('a.txt'))).toEqual([false, enough]);
  expect(readdirSync(filesDir)).toHaveLength(1);
  expect(await ask({ tool: 'react', args: { message_id: 'm1', emoji: 'x' } })).toEqual([
    false,
    enough,
  ]);
  await put({ kind: 'reply', text: 'more' });
  endTurn(store, 1, 'done', null, 2);
  expect(await ask(said('after its end'))).toEqual([false, enough]);
  await put({ kind: 'reply', text: 'after its end' });
  expect(rows()).toEqual({ n: 2 });
  expect((await ask({ tool: 'list_groups', args: {} }))[0]).toBe(true);

  saveTurn(store, 'main', 3);
  expect(await ask(said('again'))).toEqual([true, 'Sent.']);
});

test('the files that are kept for a chat are limited in bytes, until they are old', async () => {
  const { store, clock, ask, groupDir, filesDir } = startAgent({
    sendFileBytesMax: 10,
    sentFilesBytesMax: 29,
  });
  writeFileSync(join(groupDir, 'a.txt'), 'ten bytes.');
  const full = [
    false,
    'The files that you have sent fill 20 of the 29 bytes that are kept. Send no more for some days.',
  ];
  expect((await ask(sent('a.txt')))[0]).toBe(true);
  expect((await ask(sent('a.txt')))[0]).toBe(true);
  expect(await ask(sent('a.txt'))).toEqual(full);
  expect(readdirSync(filesDir)).toHaveLength(2);
  refuseOutbound(store, listPending(store, chatId, 1)[0]?.id ?? '', 'no', clock.now());
  expect(await ask(sent('a.txt'))).toEqual(full);
  clock.advance(retention.filesMs + 1);
  expect((await ask(sent('a.txt')))[0]).toBe(true);
  expect((await ask(sent('a.txt')))[0]).toBe(false);
});

test('a tool is refused when its arguments are wrong, or when it does not exist', async () => {
  const { ask, store } = startAgent({});
  expect(await ask(said(''))).toEqual([false, expect.stringMatching(/Refused: .*text/s)]);
  expect(await ask({ tool: 'send_message', args: { text: 'x', more: 1 } })).toEqual([
    false,
    expect.stringContaining('Refused'),
  ]);
  expect(await ask({ tool: 'become_root', args: {} })).toEqual([
    false,
    'You have no tool become_root.',
  ]);
  expect(store.get('SELECT count(*) AS n FROM outbox')).toEqual({ n: 0 });
});
