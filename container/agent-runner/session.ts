/**
 * How the one session with `claude` is opened. Everything that decides what the agent may
 * use is here; what it may reach is decided outside, by the container.
 */
import { type Options, type Query, query } from '@anthropic-ai/claude-agent-sdk/core';
import type { InFile } from '../../src/protocol.ts';
import { archiveConversation } from './archive.ts';
import type { Prompts } from './prompts.ts';
import type { HostTools } from './tools.ts';

/**
 * No planning, worktree, asking or scheduling tools: nobody sits at a terminal, and what is
 * to happen later is the host's to keep.
 */
const builtInTools = [
  'Agent',
  'Bash',
  'Edit',
  'Glob',
  'Grep',
  'Read',
  'Skill',
  'WebSearch',
  'Write',
];

export interface ClaudeSettings {
  /** The agent's working folder. */
  groupDir: string;
  globalDir: string;
  /** The `claude` binary. */
  claudePath: string;
  /** Where the model API answers, without a path. */
  modelUrl: string;
  /** Passed on to `claude`: PATH, HOME, TZ, LANG and a placeholder credential. */
  environment: Record<string, string | undefined>;
  /** A call of the model on which nothing moves is cut; `claude` takes no less than 10 s. */
  modelSilenceMaxMs: number;
}

export type Start = Extract<InFile, { kind: 'start' }>;

/**
 * Starts `claude`; the SDK ends it with the process. Errors come out of the query, with what
 * `claude` wrote to standard error.
 */
export function openSession(
  settings: ClaudeSettings,
  start: Start,
  parts: { prompts: Prompts; tools: HostTools },
): Query {
  const options = {
    ...optionsFor(settings, start),
    mcpServers: { nanoclaw: parts.tools.server() },
  };
  return query({ prompt: parts.prompts, options });
}

function optionsFor(settings: ClaudeSettings, start: Start): Options {
  return {
    cwd: settings.groupDir,
    additionalDirectories: [settings.globalDir],
    pathToClaudeCodeExecutable: settings.claudePath,
    env: environmentFor(settings),
    ...(start.sessionId !== null && { resume: start.sessionId }),
    // The container is the boundary; there is nobody who could be asked.
    permissionMode: 'bypassPermissions',
    allowDangerouslySkipPermissions: true,
    tools: builtInTools,
    settingSources: ['project'],
    strictMcpConfig: true,
    // Without `snapshot: false` a resumed session keeps the instructions that it began with.
    systemPrompt: {
      type: 'preset',
      preset: 'claude_code',
      append: start.instructions,
      snapshot: false,
    },
    // What people write is no command and names no files.
    verbatimPrompts: true,
    hooks: { PreCompact: [{ hooks: [archiveConversation(settings.groupDir)] }] },
  };
}

/** The whole environment of `claude`; its tools see it too. */
function environmentFor(settings: ClaudeSettings): Record<string, string | undefined> {
  return {
    ...settings.environment,
    ANTHROPIC_BASE_URL: settings.modelUrl,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    // The host tries again later; here only short troubles are waited out.
    CLAUDE_CODE_MAX_RETRIES: '3',
    API_TIMEOUT_MS: String(settings.modelSilenceMaxMs),
    CLAUDE_ENABLE_BYTE_WATCHDOG: '1',
    CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS: String(settings.modelSilenceMaxMs),
    CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD: '1',
    // Work in the background would die unseen with an idle container.
    CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
    // CLAUDE.md is the one memory.
    CLAUDE_CODE_DISABLE_AUTO_MEMORY: '1',
    CLAUDE_CODE_DISABLE_BUNDLED_SKILLS: '1',
    CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS: '1',
    ENABLE_TOOL_SEARCH: 'false',
  };
}
