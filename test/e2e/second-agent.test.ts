/**
 * A group with more than one agent: each has an inbox, a voice and a container of its own, and the
 * host posts to it. second-agent-crash.test.ts kills the host meanwhile.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runFolder } from '../../src/container-runner.ts';
import { saveRun } from '../../src/db/runs.ts';
import { Store } from '../../src/db.ts';
import type { FeatureHost } from '../../src/feature.ts';
import { numberedFileName } from '../../src/numbered-files.ts';
import type { ScriptedCall } from '../scripted-model/scripted-model.ts';
import { agentsFeature } from '../support/agents-feature.ts';
import { App, type AppOptions } from '../support/app.ts';
import type { TestTerminal } from '../support/terminal.ts';

/** An app whose people can create agents and post to them. */
function startApp(options: AppOptions = {}): Promise<App> {
  return App.start({ ...options, features: [agentsFeature, ...(options.features ?? [])] });
}

async function create(person: TestTerminal, agent: { id: string; [setting: string]: unknown }) {
  await person.say(`/create ${JSON.stringify(agent)}`);
  expect(await person.nextText()).toBe(`Created ${agent.id}.`);
}

async function post(person: TestTerminal, agentId: string, id: string, text: string) {
  await person.say(`/post ${agentId} ${id} ${text}`);
  expect(await person.nextText()).toBe(`Posted ${id}.`);
}

/** The names of our own tools that the model was shown. */
function toolsShown({ body }: ScriptedCall): string[] {
  const names = JSON.stringify(body.tools).matchAll(/"name":"mcp__nanoclaw__(\w+)"/g);
  return [...names].map(([, name]) => name ?? '').sort();
}

const reportsToMain = { kind: 'agent', agentId: 'main' };

describe('two agents of a group', () => {
  test('work at the same time, in containers of their own, and are told apart in the chat', async () => {
    const app = await startApp();
    // A pipe in the folder that both see: either waits until the other has opened it as well.
    const meet = (how: string) => `touch /tmp/$0 ~/$0; mkfifo pipe 2>&-; ${how}; ls /tmp ~`;
    const command = (name: string, how: string) => `bash -c '${meet(how)}' ${name}`;
    app.model
      .on('first job')
      .callTool('Bash', { command: command('from-first', 'echo met > pipe') })
      .thenReply((seen) => `first: ${seen}`);
    app.model
      .on('second job')
      .callTool('Bash', { command: command('from-second', 'cat pipe') })
      .thenReply((seen) => `second: ${seen}`);
    const person = await app.attach();
    await create(person, { id: 'helper' });
    await person.say('first job');
    await post(person, 'helper', 'p1', 'second job');
    const texts = [await person.nextText(), await person.nextText()];
    const first = texts.find((text) => text.startsWith('first: '));
    const second = texts.find((text) => text.startsWith('*Helper* second: met'));
    expect(first).toContain('from-first');
    expect(first).not.toContain('from-second');
    expect(second).toContain('from-second');
    expect(second).not.toContain('from-first');
    expect(await person.settled()).toBe('settled');
    expect(app.rows('SELECT agent_id FROM runs ORDER BY agent_id')).toEqual([
      { agent_id: 'helper' },
      { agent_id: 'main' },
    ]);
    expect((await app.model.call('second job')).said).toMatch(
      /<messages chat="main" main="yes">\n<post id="p1" from="host" time="[^"]+">second job<\/post>\n<\/messages>/,
    );
  });

  test('are both seen by /status and both ended by /stop', async () => {
    const app = await startApp();
    app.model.on(/endless/).hang();
    app.model.otherwise('back again');
    const person = await app.attach();
    await create(person, { id: 'helper' });
    await post(person, 'helper', 'p1', 'endless');
    await app.model.call('endless');
    await person.say('/status');
    expect(await person.nextText()).toMatch(/^Here: working\.\nEverywhere: 1 working/);
    await person.say('endless as well');
    await app.model.call('endless as well');
    await person.say('/stop');
    expect(await person.nextText()).toBe('Stopped.');
    expect(await person.settled()).toBe('settled');
    expect(app.rows('SELECT agent_id, state FROM turns ORDER BY agent_id')).toEqual([
      { agent_id: 'helper', state: 'stopped' },
      { agent_id: 'main', state: 'stopped' },
    ]);
    await post(person, 'helper', 'p2', 'and now?');
    expect(await person.nextText()).toBe('*Helper* back again');
    expect((await app.model.call('and now?')).said).not.toContain('endless');
  });
});

describe('a post', () => {
  test('is no command and no call to anybody else, whatever it says', async () => {
    const app = await startApp();
    app.model.on('long work').hang();
    app.model.otherwise('read');
    const person = await app.attach('family', 'Maria');
    await create(person, { id: 'helper' });
    await person.say('@Andy long work');
    await app.model.call('long work');
    const sessions = new Set<string>();
    for (const [index, text] of ['@Andy are you there?', '/stop', '@Andy /new', '/new'].entries()) {
      await post(person, 'helper', `p${index}`, text);
      expect(await person.next()).toMatchObject({ text: '*Helper* read' });
      const call = await app.model.call(`>${text}</post>`);
      sessions.add(call.sessionId);
    }
    // None of them has begun a new conversation, ended a turn or reached the group's own agent.
    expect(sessions.size).toBe(1);
    expect(app.rows("SELECT state FROM turns WHERE agent_id = 'family'")).toEqual([
      { state: 'running' },
    ]);
    expect(app.rows("SELECT count(*) AS calls FROM messages WHERE role = 'wakes'")).toEqual([
      { calls: 5 },
    ]);
    expect(app.model.calls.filter(({ said }) => said.includes('long work'))).toHaveLength(1);
  });

  test('that comes again under the same id changes nothing', async () => {
    const app = await startApp();
    app.model.otherwise('read');
    const person = await app.attach();
    await create(person, { id: 'helper' });
    await post(person, 'helper', 'p1', 'once');
    expect(await person.nextText()).toBe('*Helper* read');
    await person.say('/post helper p1 twice');
    expect(await person.nextText()).toBe('p1 was posted already.');
    expect(await person.settled()).toBe('settled');
    expect(app.model.calls).toHaveLength(1);
  });
});

describe('an agent whose voice is another agent', () => {
  test('answers into the inbox of that one and wakes it, and has no tools of a chat', async () => {
    const app = await startApp();
    app.model.on('look it up').reply('it is blue');
    app.model.on('it is blue').reply('My helper says blue.');
    const person = await app.attach();
    await create(person, { id: 'helper', voice: reportsToMain });
    await post(person, 'helper', 'p1', 'look it up');
    expect(await person.nextText()).toBe('My helper says blue.');
    expect(await person.settled()).toBe('settled');
    const [asked, told] = [await app.model.call('look it up'), await app.model.call('it is blue')];
    expect(told.said).toMatch(
      /<post id="[^"]+" from="agent helper" time="[^"]+">it is blue<\/post>/,
    );
    expect(toolsShown(told)).toEqual(
      expect.arrayContaining(['list_groups', 'react', 'send_file', 'send_message']),
    );
    expect(toolsShown(asked)).toEqual(['list_groups', 'register_group']);
    expect(app.rows("SELECT count(*) AS count FROM outbox WHERE text LIKE '%blue%'")).toEqual([
      { count: 1 },
    ]);
  });

  test('is heard in part when it says more than a message may hold', async () => {
    const app = await startApp({ limits: { messageTextMax: 200 } });
    app.model.on('look it up').reply(`found ${'x'.repeat(300)}`);
    app.model.on(/found/).reply('My helper says a lot.');
    const person = await app.attach();
    await create(person, { id: 'helper', voice: reportsToMain });
    await post(person, 'helper', 'p1', 'look it up');
    expect(await person.nextText()).toBe('My helper says a lot.');
    expect((await app.model.call(/found/)).said).toMatch(/x\n\[the rest was cut\]<\/post>/);
  });

  test('wakes nobody before the features have started, when its words were left by a dead host', async () => {
    const atStart: string[] = [];
    const watcher = {
      name: 'watcher',
      migrations: [],
      create: ({ work }: FeatureHost) => ({ start: () => void atStart.push(work.stateOf('main')) }),
    };
    const app = await startApp({ features: [watcher] });
    app.model.on('look it up').reply('wait a moment');
    app.model.on('wait a moment').reply('I wait.');
    app.model.on('it is blue').reply('My helper says blue.');
    const person = await app.attach();
    await create(person, { id: 'helper', voice: reportsToMain });
    await post(person, 'helper', 'p1', 'look it up');
    expect(await person.nextText()).toBe('I wait.');
    await person.settled();
    await app.stop();
    leaveWords(app, 'helper', { kind: 'reply', text: 'it is blue' });
    await app.start();
    expect(atStart).toEqual(['idle', 'waiting']);
    await person.connect();
    expect(await person.nextText()).toBe('My helper says blue.');
  });
});

/** Leaves an open run with a file that nobody has read, as a host does that died. */
function leaveWords(app: App, agentId: string, file: object): void {
  const store = new Store(join(app.config.storeDir, 'nanoclaw.db'));
  const out = join(runFolder(app.config, agentId, saveRun(store, agentId, 1)), 'out');
  store.close();
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, numberedFileName(1)), JSON.stringify(file));
}

describe('an agent with settings of its own', () => {
  test('is shown fewer tools and asks the model that it was given', async () => {
    const app = await startApp();
    app.model.otherwise('read');
    const person = await app.attach();
    await create(person, { id: 'plain' });
    await create(person, { id: 'small', tools: ['react'], model: 'claude-haiku-4-5' });
    await create(person, { id: 'bare', tools: [] });
    const callOf = async (id: string) => {
      await post(person, id, 'p1', `for ${id}`);
      await person.next();
      return app.model.call(`for ${id}`);
    };
    const [plain, small, bare] = [
      await callOf('plain'),
      await callOf('small'),
      await callOf('bare'),
    ];
    expect(toolsShown(plain)).toEqual([
      'list_groups',
      'react',
      'register_group',
      'send_file',
      'send_message',
    ]);
    expect(toolsShown(small)).toEqual(['react']);
    expect(toolsShown(bare)).toEqual([]);
    expect(small.body.model).toBe('claude-haiku-4-5');
    expect(plain.body.model).not.toBe('claude-haiku-4-5');
    expect(bare.body.model).toBe(plain.body.model);
  });
});
