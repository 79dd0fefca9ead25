import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { query } from '@anthropic-ai/claude-agent-sdk';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HostProcess } from '../../../test/support/host-process.ts';
import { startDemoModel } from './demo-model.ts';
import type { MessagesServer } from './messages-server.ts';

let model: MessagesServer;
let home: string;

beforeEach(async () => {
  model = await startDemoModel('Andy');
  home = await mkdtemp(join(tmpdir(), 'demo-model-'));
});

afterEach(async () => {
  await model.close();
  await rm(home, { recursive: true, force: true, maxRetries: 5 });
});

function prompt(escaped: string): string {
  return `<messages>\n<message id="1" sender="Maria" time="today">hello</message>\n<message id="2" sender="Maria" time="today">${escaped}</message>\n</messages>`;
}

/** Asks the real SDK with the real binary, in the temporary folder as the group folder. */
async function ask(text: string, resume?: string): Promise<{ text: string; sessionId: string }> {
  const session = query({
    prompt: text,
    options: {
      cwd: home,
      permissionMode: 'bypassPermissions',
      allowDangerouslySkipPermissions: true,
      settingSources: [],
      tools: ['Bash'],
      ...(resume ? { resume } : {}),
      env: {
        PATH: process.env.PATH,
        HOME: home,
        IS_SANDBOX: '1',
        ANTHROPIC_BASE_URL: model.url,
        ANTHROPIC_API_KEY: 'placeholder',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
        DISABLE_AUTOUPDATER: '1',
      },
    },
  });
  for await (const message of session)
    if (message.type === 'result' && message.subtype === 'success')
      return { text: message.result, sessionId: message.session_id };
  throw new Error('The session ended without a result.');
}

test('says in a real container what may be written, also where the folder around it may not', async () => {
  // Empty, so that no .env sets them.
  const none = { ANTHROPIC_API_KEY: '', CLAUDE_CODE_OAUTH_TOKEN: '', ANTHROPIC_AUTH_TOKEN: '' };
  const host = new HostProcess({ NANOCLAW_HOME: home, ...none }, { input: 'hello' });
  await host.exited;
  expect(host.output).toContain('the folder /workspace/group/, which I may read and write.');
  expect(host.output).toContain(
    'the folder /workspace/ipc/, which I may only read, but write in /workspace/ipc/out/.',
  );
  expect(host.output).toContain('the folder /workspace/project/, which I may only read.');
});

describe('the demo model, asked by the real agent', { timeout: 60_000 }, () => {
  test.each(['hello', prompt('hello'), prompt('what is the &lt;weather&gt;?')])(
    'answers %j with what a command in the container printed',
    async (text) => {
      const answer = (await ask(text)).text;
      expect(answer).toMatch(/^\[demo model\] /);
      expect(answer).toContain(`I am user ${process.getuid?.()} of group`);
      expect(answer).toMatch(/I (see no network|DO see a network)/);
      expect(answer).toMatch(/The root file system is (NOT )?read-only/);
      expect(answer).toContain('ANTHROPIC_API_KEY');
    },
  );

  test('writes down what it is told to remember, and reads it back', async () => {
    const told = await ask(prompt('@Andy remember that my cat is called Tom'));
    expect(told.text).toMatch(/^\[demo model\] I will remember that\./);
    expect(await readFile(join(home, 'CLAUDE.md'), 'utf8')).toBe('- my cat is called Tom\n');
    const asked = await ask(prompt('What do you remember?'), told.sessionId);
    expect(asked.text).toMatch(/^\[demo model\] This is in CLAUDE\.md/);
    expect(asked.text).toContain('my cat is called Tom');
  });

  test('keeps what was there and says when nothing is', async () => {
    expect((await ask(prompt('what do you remember'))).text).toContain('no CLAUDE.md');
    await writeFile(join(home, 'CLAUDE.md'), '- first\n');
    await ask(prompt('remember: second'));
    expect(await readFile(join(home, 'CLAUDE.md'), 'utf8')).toBe('- first\n- second\n');
  });

  test('lets no fact become a command', async () => {
    const fact = `it's $(touch pwned) \`touch pwned\` "x" \\ ; touch pwned & < > 'quoted' -n %s 🙂`;
    const escaped = fact
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;');
    await ask(prompt(`remember ${escaped}\nover two lines`));
    expect(await readFile(join(home, 'CLAUDE.md'), 'utf8')).toBe(`- ${fact} over two lines\n`);
    await expect(readFile(join(home, 'pwned'))).rejects.toThrow('ENOENT');
  });

  test('answers requests that are no turn without a tool', async () => {
    const response = await fetch(`${model.url}/v1/messages`, {
      method: 'POST',
      body: JSON.stringify({
        model: 'm',
        tools: [{ name: 'Bash' }],
        messages: [{ role: 'user', content: 'CRITICAL: Respond with TEXT ONLY. Sum up.' }],
      }),
    });
    expect(await response.json()).toMatchObject({
      content: [{ type: 'text', text: expect.stringContaining('[demo model] <summary>') }],
    });
  });
});
