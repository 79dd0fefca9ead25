/**
 * The options of the session with `claude`. They decide what the agent may use. What it may reach is
 * decided outside, by the container and the host.
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
  /** Absolute paths, named as in `inside`. */
  dirs: Record<'group' | 'global' | 'inbox' | 'outbox', string>;
  claudePath: string;
  /** Base URL of the model API, without a path. */
  modelUrl: string;
  /** A call without any byte for this long is cut. `claude` accepts 10 s or more. */
  modelSilenceMaxMs: number;
  /** NODE_OPTIONS for the agent's programs. `claude` removes it from its own environment. */
  nodeOptions?: string;
}

/** The options of a query that resumes `sessionId`, or starts a session when it is null. */
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
    // The container is the boundary, and there is nobody to ask for permission.
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
    // What people write is not a command of Claude Code, and includes no files.
    verbatimPrompts: true,
    hooks: { PreCompact: [{ hooks: [archiveConversation(settings.dirs.group)] }] },
  };
}

/** The environment of `claude` and its tools. The credential in it is a placeholder. */
function environmentFor(settings: Settings): Record<string, string | undefined> {
  const silenceMaxMs = String(settings.modelSilenceMaxMs);
  return {
    ...process.env,
    ANTHROPIC_BASE_URL: settings.modelUrl,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    // Four calls in all; after that the host retries the turn later.
    CLAUDE_CODE_MAX_RETRIES: '3',
    API_TIMEOUT_MS: silenceMaxMs,
    CLAUDE_ENABLE_BYTE_WATCHDOG: '1',
    CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS: silenceMaxMs,
    CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD: '1',
    // Shortens the session at 40,000 tokens: half of the smallest window that `claude` takes, less
    // 20,000 for the summary. Otherwise it grows to a million, and each message pays for all of it.
    CLAUDE_CODE_AUTO_COMPACT_WINDOW: '100000',
    CLAUDE_AUTOCOMPACT_PCT_OVERRIDE: '50',
    // Background work would be lost when the host stops an idle container.
    CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
    // CLAUDE.md is the only memory.
    CLAUDE_CODE_DISABLE_AUTO_MEMORY: '1',
    CLAUDE_CODE_DISABLE_BUNDLED_SKILLS: '1',
    // Otherwise a hash of the first message starts the system prompt: chats could not share its cache.
    CLAUDE_CODE_ATTRIBUTION_HEADER: '0',
    ENABLE_TOOL_SEARCH: 'false',
  };
}
