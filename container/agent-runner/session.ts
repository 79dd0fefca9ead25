/**
 * How the session with `claude` is opened. Everything that decides what the agent may use is
 * here; what it may reach is decided outside, by the container.
 */
import type { Options } from '@anthropic-ai/claude-agent-sdk/core';
import { archiveConversation } from './archive.ts';

/** None that plans, asks or schedules: nobody sits at a terminal, and the host keeps what is due. */
const tools = [
  ...['Agent', 'Bash', 'Edit', 'Glob', 'Grep', 'Read', 'Skill', 'WebFetch', 'WebSearch', 'Write'],
];

export interface Settings {
  /** As in `inside`. */
  dirs: Record<'group' | 'global' | 'inbox' | 'outbox', string>;
  claudePath: string;
  /** Where the model API answers, without a path. */
  modelUrl: string;
  /** A call on which nothing moves is cut after this; `claude` takes no less than 10 s. */
  modelSilenceMaxMs: number;
  /** NODE_OPTIONS of what the agent runs; `claude` would take it out of its environment. */
  nodeOptions?: string;
}

/** Options of the query that goes on with `sessionId`, or begins a session. */
export function sessionOptions(
  settings: Settings,
  { sessionId, instructions }: { sessionId: string | null; instructions: string },
): Options {
  return {
    cwd: settings.dirs.group,
    additionalDirectories: [settings.dirs.global],
    pathToClaudeCodeExecutable: settings.claudePath,
    env: environmentFor(settings),
    ...(sessionId !== null && { resume: sessionId }),
    // The container is the boundary; there is nobody who could be asked.
    permissionMode: 'bypassPermissions',
    allowDangerouslySkipPermissions: true,
    tools,
    settingSources: ['project'],
    strictMcpConfig: true,
    // Which pages may be read is the host's to say.
    settings: {
      skipWebFetchPreflight: true,
      env: settings.nodeOptions ? { NODE_OPTIONS: settings.nodeOptions } : {},
    },
    // With a snapshot, a resumed session keeps the instructions that it began with.
    systemPrompt: {
      type: 'preset',
      preset: 'claude_code',
      append: instructions,
      snapshot: false,
    },
    // What people write is no command and names no files.
    verbatimPrompts: true,
    hooks: { PreCompact: [{ hooks: [archiveConversation(settings.dirs.group)] }] },
  };
}

/** The environment of `claude`; its tools see it too. The credential in it is a placeholder. */
function environmentFor(settings: Settings): Record<string, string | undefined> {
  const silenceMaxMs = String(settings.modelSilenceMaxMs);
  return {
    ...process.env,
    ANTHROPIC_BASE_URL: settings.modelUrl,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    // The host tries again later: a model silent for good costs a turn four calls.
    CLAUDE_CODE_MAX_RETRIES: '3',
    API_TIMEOUT_MS: silenceMaxMs,
    CLAUDE_ENABLE_BYTE_WATCHDOG: '1',
    CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS: silenceMaxMs,
    CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD: '1',
    // Work in the background would die unseen with an idle container.
    CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
    // CLAUDE.md is the one memory.
    CLAUDE_CODE_DISABLE_AUTO_MEMORY: '1',
    CLAUDE_CODE_DISABLE_BUNDLED_SKILLS: '1',
    ENABLE_TOOL_SEARCH: 'false',
  };
}
