import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { App } from '../support/app.ts';

const pixel = readFileSync(join(import.meta.dirname, '../fixtures/pixel.png'));

describe('a person and their assistant', () => {
  test('say hello and get an answer', async () => {
    const app = await App.start();
    app.model.on('hello').reply('Hello to you.');
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toBe('Hello to you.');
    expect(await person.settled()).toBe('settled');
    const call = await app.model.call('hello');
    expect(call.headers['x-api-key']).toBe('the-real-key');
    expect(call.lastUserText).toMatch(
      /<message id="[^"]+" sender="you" account="terminal:you" time="[^"]+">hello<\/message>/,
    );
  });

  test('see what the agent is doing while it works', async () => {
    const app = await App.start();
    app.model
      .on('work')
      .callTool('Bash', { command: 'true', description: 'Do the work' })
      .thenReply('done');
    const person = await app.attach();
    await person.say('work');
    await person.nextText();
    await person.settled();
    const signs = person.heard.flatMap((line) => (line.kind === 'activity' ? [line.text] : []));
    expect(signs[0]).toBe('thinking');
    expect(signs).toContain('Bash: true');
    expect(signs.at(-1)).toBeNull();
  });

  test('can write during a turn: the agent reads it before it answers', async () => {
    const app = await App.start();
    app.model
      .on('long job')
      .callTool('Bash', { command: 'until [ -e go ]; do :; done; echo finished' })
      .thenReply('I never heard the rest');
    app.model.on('blue please').reply((result) => `Blue, and the job ${result}`);
    const person = await app.attach();
    await person.say('long job');
    await app.model.call('long job');
    await person.say('blue please');
    writeFileSync(app.inGroup('main', 'go'), '');
    expect(await person.nextText()).toBe('Blue, and the job finished');
    expect(await person.settled()).toBe('settled');
    expect(app.rows('SELECT state FROM turns')).toEqual([{ state: 'done' }]);
  });

  test('continue with a warm agent that keeps its session', async () => {
    const app = await App.start();
    app.model.on('one').reply('first');
    app.model
      .on('two')
      .reply((_, call) => (JSON.stringify(call.body).includes('first') ? 'I remember' : 'lost'));
    const person = await app.attach();
    await person.say('one');
    await person.next();
    await person.settled();
    await person.say('two');
    expect(await person.nextText()).toBe('I remember');
    expect(app.rows('SELECT count(*) AS n FROM runs')).toEqual([{ n: 1 }]);
  });

  test('continue after a restart: the earlier conversation reaches the model', async () => {
    const app = await App.start();
    app.model.on('my cat is called Momo').reply('noted');
    app.model
      .on('what did I tell you before')
      .reply((_, call) =>
        JSON.stringify(call.body).includes('Momo') ? 'Your cat is Momo.' : 'nothing',
      );
    const person = await app.attach();
    await person.say('my cat is called Momo');
    await person.next();
    await person.settled();
    await app.stop();
    await app.start();
    await person.connect();
    await person.say('what did I tell you before?');
    expect(await person.nextText()).toBe('Your cat is Momo.');
  });

  test('send an image, which the model sees', async () => {
    const app = await App.start();
    app.model.on('what is this').reply('a pixel');
    const path = join(app.config.homeDir, 'pixel.png');
    writeFileSync(path, pixel);
    const person = await app.attach();
    await person.say('what is this?', [path]);
    expect(await person.nextText()).toBe('a pixel');
    const call = await app.model.call('what is this');
    expect(JSON.stringify(call.body)).toContain(pixel.toString('base64'));
    const [saved] = readdirSync(app.inGroup('main', 'media'));
    expect(readFileSync(app.inGroup('main', 'media', saved ?? ''))).toEqual(pixel);
    expect(call.lastUserText).toContain(`path="media/${saved}"`);
  });

  test('are told at once of a file that cannot be read, and the agent is not', async () => {
    const app = await App.start();
    app.model.on('hello').reply('hi');
    const person = await app.attach();
    await person.say('see my new hat', ['/nonexistent/x.png']);
    expect(person.heard).toContainEqual(
      expect.objectContaining({ kind: 'unstored', reason: 'There is no file /nonexistent/x.png.' }),
    );
    await person.say('hello');
    expect(await person.nextText()).toBe('hi');
    expect(JSON.stringify(app.model.calls.map(({ body }) => body))).not.toContain('new hat');
  });

  test('have to give a name that can be shown, and hear what is wrong with another', async () => {
    const app = await App.start();
    for (const name of ['', 'x'.repeat(61), 'a\u001bb'])
      await expect(app.attach('main', name)).rejects.toThrow(/name after --as has 1 to 60/);
  });

  test('receive files and messages during a turn, in order', async () => {
    const app = await App.start();
    app.model
      .on('report')
      .callTool('mcp__nanoclaw__send_message', { text: 'I am at it' })
      .thenCallTool('Bash', { command: 'echo 1,2,3 > report.csv' })
      .thenCallTool('mcp__nanoclaw__send_file', { path: 'report.csv', caption: 'the report' })
      .thenReply((result) => `tool said: ${result}`);
    const person = await app.attach();
    await person.say('report');
    expect(await person.nextText()).toBe('I am at it');
    const sent = await person.next();
    expect(sent).toMatchObject({
      text: 'the report',
      file: { name: 'report.csv', mime: 'text/csv', sizeBytes: 6 },
    });
    expect(readFileSync(sent.file?.hostPath ?? '', 'utf8')).toBe('1,2,3\n');
    expect(await person.nextText()).toBe('tool said: Sent report.csv (6 bytes).');
  });

  test('are not told "sent" when the host refused', async () => {
    const app = await App.start();
    app.model
      .on('leak')
      .callTool('Bash', { command: 'ln -s /etc/passwd innocent.txt' })
      .thenCallTool('mcp__nanoclaw__send_file', { path: 'innocent.txt' })
      .thenReply((result) => `refused: ${result}`);
    const person = await app.attach();
    await person.say('leak');
    expect(await person.nextText()).toMatch(/^refused: .*link/i);
    expect(person.delivered).toHaveLength(1);
  });

  test('never see internal parts, and get no message without other parts', async () => {
    const app = await App.start();
    app.model.on('think').reply('Yes.<internal>I am not sure</internal>');
    app.model.on('silent').reply('<internal>nothing to say</internal>');
    const person = await app.attach();
    await person.say('be silent');
    expect(await person.settled()).toBe('settled');
    await person.say('think');
    expect(await person.nextText()).toBe('Yes.');
    expect(await person.settled()).toBe('settled');
    expect(person.delivered).toHaveLength(1);
  });

  test('have the memory of the group and of all groups in the prompt', async () => {
    const app = await App.start();
    writeFileSync(app.inGroup('main', 'CLAUDE.md'), 'The owner likes tea.');
    writeFileSync(app.inGroup('global', 'CLAUDE.md'), 'All groups speak Esperanto.');
    app.model.on('hello').reply('hi');
    const person = await app.attach();
    await person.say('hello');
    await person.next();
    const body = JSON.stringify((await app.model.call('hello')).body);
    expect(body).toContain('The owner likes tea.');
    expect(body).toContain('All groups speak Esperanto.');
    expect(body).toContain('You are Andy');
  });
});

describe('the agent', () => {
  test('acts in its own folder and nowhere else', async () => {
    const app = await App.start();
    mkdirSync(join(app.config.homeDir, 'elsewhere'));
    app.model
      .on('act')
      .callTool('Bash', {
        command: `id -u; echo mark > mark.txt; echo mark > ${app.config.homeDir}/elsewhere/mark.txt; ls ${app.config.homeDir}; ls / ; cat /proc/net/dev`,
      })
      .thenReply((result) => result);
    const person = await app.attach();
    await person.say('act');
    const seen = await person.nextText();
    expect(readFileSync(app.inGroup('main', 'mark.txt'), 'utf8')).toBe('mark\n');
    expect(readdirSync(join(app.config.homeDir, 'elsewhere'))).toEqual([]);
    expect(seen).toMatch(/^[1-9]\d+\n/);
    expect(seen).not.toContain('store');
    expect(seen).not.toContain('eth0');
    expect(seen).not.toContain('the-real-key');
  });

  test('holds no secret, in its environment or anywhere else it can look', async () => {
    const app = await App.start();
    app.model
      .on('look')
      .callTool('Bash', {
        command:
          'env; cat /proc/*/environ /proc/*/cmdline | tr "\\0" "\\n"; grep -rsh --exclude-dir=test --exclude="*.test.ts" "the-real-ke[y]" /workspace /home /tmp /etc /opt; ls -A /workspace/project',
      })
      .thenReply((result) => result);
    const person = await app.attach();
    await person.say('look');
    const seen = await person.nextText();
    expect(seen).toContain('placeholder');
    expect(seen).not.toContain('the-real-key');
    expect(seen).toContain('package.json');
    expect(seen).not.toMatch(/^(\.env|store|data|groups|\.git)$/m);
  });
});

describe('two groups', () => {
  test('cannot see each other: neither files, sessions nor messages', async () => {
    const app = await App.start();
    app.model
      .on('secret plan')
      .callTool('Bash', { command: 'echo plan > plan.txt' })
      .thenReply('kept');
    app.model
      .on('find')
      .callTool('Bash', {
        command: 'find / -name plan.txt 2>/dev/null; ls -R /workspace /home | head -200',
      })
      .thenReply((result) => result);
    const owner = await app.attach();
    await owner.say('secret plan: Lisbon');
    await owner.next();
    await owner.settled();
    const maria = await app.attach('family', 'Maria');
    await maria.say('@Andy find');
    expect(await maria.nextText()).not.toContain('plan.txt');
    const body = JSON.stringify((await app.model.call('find')).body);
    expect(body).not.toContain('Lisbon');
    expect(existsSync(app.inGroup('family', 'plan.txt'))).toBe(false);
    expect(owner.delivered).toHaveLength(1);
    const sessions = app.rows('SELECT DISTINCT session_id FROM sessions');
    expect(sessions).toHaveLength(2);
  });

  test('need the trigger outside main, and pass on earlier messages as context', async () => {
    const app = await App.start();
    app.model.on('who brings').reply('Maria brings the cake.');
    const maria = await app.attach('family', 'Maria');
    const jo = await app.attach('family', 'Jo');
    await maria.say('I bring the cake');
    expect(await maria.settled()).toBe('settled');
    await jo.say('@andy who brings what?');
    expect(await jo.nextText()).toBe('Maria brings the cake.');
    expect(await maria.nextText()).toBe('Maria brings the cake.');
    const { lastUserText } = await app.model.call('who brings');
    expect(lastUserText).toContain('sender="Maria"');
    expect(lastUserText).toContain('I bring the cake');
    expect(maria.heard).toContainEqual({
      kind: 'said',
      senderName: 'Jo',
      text: '@andy who brings what?',
    });
  });

  test.each(['../main', 'global', 'A B', '', 'x'.repeat(41)])(
    'cannot be opened by the name %j',
    async (name) => {
      const app = await App.start();
      await expect(app.attach(name)).rejects.toThrow(/cannot name a group/);
    },
  );
});
