/**
 * The baseline: the SDK in a plain Node script, without host, container or files. It keeps one
 * query() open. Each line of stdin is a prompt; each result is a line of stdout with the times of
 * prompt and result in ms (`performance.timeOrigin + performance.now()`). All options that affect
 * the speed are those of container/agent-runner/session.ts.
 */
import { createInterface } from 'node:readline';
import { query } from '@anthropic-ai/claude-agent-sdk';

const [cwd, home, modelUrl] = process.argv.slice(2);
const now = () => performance.timeOrigin + performance.now();
let handedAtMs = 0;

async function* prompts() {
  for await (const content of createInterface({ input: process.stdin })) {
    handedAtMs = now();
    yield { type: 'user', message: { role: 'user', content }, parent_tool_use_id: null };
  }
}

const options = {
  cwd,
  permissionMode: 'bypassPermissions',
  allowDangerouslySkipPermissions: true,
  tools: ['Bash', 'Edit', 'Read', 'WebSearch', 'Write'],
  skills: [],
  settingSources: ['project'],
  strictMcpConfig: true,
  systemPrompt: { type: 'custom', prompt: 'You are Andy.', snapshot: false },
  verbatimPrompts: true,
  env: {
    PATH: process.env.PATH,
    HOME: home,
    LANG: 'C.UTF-8',
    // Root needs this outside of a container.
    IS_SANDBOX: '1',
    ANTHROPIC_API_KEY: 'placeholder',
    ANTHROPIC_BASE_URL: modelUrl,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
    CLAUDE_CODE_DISABLE_AUTO_MEMORY: '1',
    CLAUDE_CODE_DISABLE_BUNDLED_SKILLS: '1',
    ENABLE_TOOL_SEARCH: 'false',
  },
};

for await (const message of query({ prompt: prompts(), options })) {
  if (message.type !== 'result') continue;
  const { result } = message;
  process.stdout.write(`${JSON.stringify({ handedAtMs, repliedAtMs: now(), result })}\n`);
}
