/**
 * Constants with their units, and what the environment may say: where the state lives,
 * which runtime, the assistant's name, and the model's credential. There is no other
 * configuration; to change anything else, change it here.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { UserError } from './types.ts';

const second = 1000;
const minute = 60 * second;
const day = 24 * 60 * minute;
const mebibyte = 1024 * 1024;

export type Limits = typeof defaultLimits;

export const defaultLimits = {
  /** Containers at once, warm ones included. */
  containersMax: 5,
  /** A container without a turn is stopped after this. */
  idleTimeoutMs: 10 * minute,
  /** From spawn to the runner's first sign of life. */
  startTimeoutMs: 60 * second,
  /** One turn, tools included. */
  turnTimeoutMs: 30 * minute,
  /** Between asking a container to close and killing it. */
  closeGraceMs: 2 * second,

  /** A turn that the model failed is tried again after these waits, then given up. */
  retryDelaysMs: [5, 15, 45, 135, 405, 600, 600, 600].map((seconds) => seconds * second),
  /** The person is told that the model is away once this many attempts have failed. */
  attemptsBeforeNotice: 2,
  /** Attempts of one turn whose container or host died under it. */
  crashAttemptsMax: 3,
  crashRetryDelayMs: second,

  /** Untriggered messages shown as context, the newest. */
  contextMessagesMax: 50,
  /** Messages in one prompt, and their text in UTF-16 units. */
  promptMessagesMax: 200,
  promptTextMax: 150_000,
  messageTextMax: 100_000,
  attachmentsMax: 20,
  attachmentBytesMax: 64 * mebibyte,
  attachmentTimeoutMs: 2 * minute,
  /** An image above this is named in the prompt but not shown to the model. */
  imageBytesMax: 5 * mebibyte,

  /** Files in one listing of an out folder; the rest waits for the next. */
  outFilesPerSweep: 1000,
  /** Backs up the file system's events, which may be lost or absent (VMs of macOS). */
  outSweepMs: 5 * second,
  /** Refused files kept per agent for a look, and the bytes kept of each. */
  quarantineFilesMax: 20,
  quarantineFileBytesMax: 64 * 1024,

  /** Waits between attempts to deliver; the last repeats while the channel is down. */
  deliveryDelaysMs: [1, 2, 5, 15, 60].map((seconds) => seconds * second),
  sendFileBytesMax: 64 * mebibyte,

  /** What is kept of a container's standard error, in UTF-16 units. */
  stderrTextMax: 2000,
  logFileSize: '10m',
  logFilesMax: 5,

  container: {
    memoryBytes: 2048 * mebibyte,
    processesMax: 512,
    openFilesMax: 4096,
    fileBytesMax: 1024 * mebibyte,
    tmpBytesMax: 512 * mebibyte,
    shmBytesMax: 64 * mebibyte,
    cpus: 2,
  },
};

/** How long handled rows and files are kept. Unhandled ones are never removed. */
export const retention = {
  sweepEveryMs: 60 * minute,
  messagesMs: 365 * day,
  turnsMs: 90 * day,
  outboxMs: 30 * day,
  filesMs: 7 * day,
} as const;

/** The one path that each kind of credential takes to the model API. */
export type Credential =
  | { kind: 'api-key'; secret: string }
  | { kind: 'oauth-token'; secret: string }
  | { kind: 'auth-token'; secret: string };

export interface ModelAccess {
  baseUrl: string;
  credential: Credential;
}

export interface Config {
  assistantName: string;
  /** The program: sources, built files, node_modules. */
  projectDir: string;
  /** The state: groups/, store/, data/. */
  homeDir: string;
  groupsDir: string;
  storeDir: string;
  dataDir: string;
  socketPath: string;
  /** A runtime's name that is to be used, or null to detect one. */
  runtime: string | null;
  /** Null when no credential is there: then the demo model answers. */
  model: ModelAccess | null;
  /** pino's level for the terminal, or null for none. */
  terminalLogLevel: string | null;
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
const optional = z
  .string()
  .trim()
  .transform((value) => value || undefined)
  .optional();

const environmentSchema = z.object({
  ANTHROPIC_API_KEY: optional,
  CLAUDE_CODE_OAUTH_TOKEN: optional,
  ANTHROPIC_AUTH_TOKEN: optional,
  ANTHROPIC_BASE_URL: optional.pipe(z.url({ protocol: /^https?$/ }).optional()),
  ASSISTANT_NAME: optional.pipe(
    z
      .string()
      .regex(
        /^[\p{L}\p{N}][\p{L}\p{N}\p{M}_-]{0,29}$/u,
        'one word of letters and digits, at most 30',
      )
      .optional(),
  ),
  NANOCLAW_HOME: optional,
  NANOCLAW_RUNTIME: optional,
  LOG_LEVEL: optional.pipe(z.enum(levels).optional()),
});

/**
 * Reads the environment and the project's `.env` (the environment wins).
 * Throws UserError with one line per wrong setting.
 */
export function loadConfig(
  environment: Record<string, string | undefined>,
  projectDir: string,
): Config {
  const merged = { ...readDotEnv(join(projectDir, '.env')), ...environment };
  const parsed = environmentSchema.safeParse(merged);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new UserError(`The settings cannot be used.\n${lines.join('\n')}`);
  }
  const settings = parsed.data;
  const homeDir = resolve(settings.NANOCLAW_HOME ?? projectDir);
  const dataDir = join(homeDir, 'data');
  return {
    assistantName: settings.ASSISTANT_NAME ?? 'Andy',
    projectDir,
    homeDir,
    groupsDir: join(homeDir, 'groups'),
    storeDir: join(homeDir, 'store'),
    dataDir,
    socketPath: join(dataDir, 'nanoclaw.sock'),
    runtime: settings.NANOCLAW_RUNTIME ?? null,
    model: modelAccess(settings),
    terminalLogLevel: settings.LOG_LEVEL ?? null,
  };
}

function modelAccess(settings: z.infer<typeof environmentSchema>): ModelAccess | null {
  const baseUrl = settings.ANTHROPIC_BASE_URL ?? 'https://api.anthropic.com';
  if (settings.ANTHROPIC_API_KEY)
    return { baseUrl, credential: { kind: 'api-key', secret: settings.ANTHROPIC_API_KEY } };
  if (settings.CLAUDE_CODE_OAUTH_TOKEN)
    return {
      baseUrl,
      credential: { kind: 'oauth-token', secret: settings.CLAUDE_CODE_OAUTH_TOKEN },
    };
  if (settings.ANTHROPIC_AUTH_TOKEN)
    return { baseUrl, credential: { kind: 'auth-token', secret: settings.ANTHROPIC_AUTH_TOKEN } };
  return null;
}

function readDotEnv(path: string): Record<string, string> {
  try {
    return parseEnv(readFileSync(path, 'utf8')) as Record<string, string>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new UserError(`${path} cannot be read: ${String(error)}`);
  }
}
