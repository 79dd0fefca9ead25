/**
 * How the session with `claude` is opened. Everything that decides what the agent may use is
 * here; what it may reach is decided outside, by the container.
 */
import type { Options } from '@anthropic-ai/claude-agent-sdk/core';
import { archiveConversation } from './archive.ts';

/**
 * The built-in tools. Every request pays for their descriptions, so each has a reason. Left out:
 * Glob and Grep (Bash has `rg`), Agent and Skill (no request here needs them), and all that plan,
 * ask or schedule (nobody sits at a terminal, and the host keeps what is due).
 */
const tools = [
  'Bash', // Runs programs, searches files, and reaches the web as programs do.
  'Edit', // Changes a part of a file exactly, where `sed` would be fragile.
  'Read', // Shows pictures and PDF files, which Bash cannot.
  'WebFetch', // A small model reads the page: its full text stays out of the conversation.
  'WebSearch', // Runs at the model API: there is no other search engine.
  'Write', // Writes a file whole, without the quoting of a shell.
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
    skills: [],
    // The memory files.
    settingSources: ['project'],
    strictMcpConfig: true,
    settings: {
      // The host decides which pages may be read.
      skipWebFetchPreflight: true,
      // Otherwise `claude` has the agent sign commits and pull requests.
      attribution: { commit: '', pr: '' },
      includeCoAuthoredBy: false,
      includeGitInstructions: false,
      env: settings.nodeOptions ? { NODE_OPTIONS: settings.nodeOptions } : {},
    },
    // The preset of Claude Code speaks of a terminal. With a snapshot, a resumed session would keep
    // the instructions that it began with.
    systemPrompt: { type: 'custom', prompt: instructions, snapshot: false },
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
    CLAUDE_CODE_ATTRIBUTION_HEADER: '0',
    ENABLE_TOOL_SEARCH: 'false',
  };
}
