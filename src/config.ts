/**
 * Constants with their units, and what the environment may say. There is no other
 * configuration; to change anything else, change it here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
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
  /** Containers at once, warm ones included; one more for main when all are at work. */
  containersMax: 5,
  /** A container without a turn is stopped after this. */
  idleTimeoutMs: 10 * minute,
  /** From spawn to the runner's first sign of life. */
  startTimeoutMs: 60 * second,
  /** One turn, tools included. */
  turnTimeoutMs: 30 * minute,
  /** Between asking a container to close and killing it. */
  closeGraceMs: 2 * second,

  /** Waits between attempts of a turn that the model failed; then it is given up. */
  retryDelaysMs: [5, 15, 45, 135, 405, 600, 600, 600].map((seconds) => seconds * second),
  /** After so many the person is told that the model is away. */
  attemptsBeforeNotice: 2,
  crashAttemptsMax: 3,
  crashRetryDelayMs: second,

  /** What comes later than this is context, and not answered. */
  staleMessageMs: 12 * 60 * minute,
  /** Untriggered messages shown as context, the newest. */
  contextMessagesMax: 50,
  /** Messages in one prompt; texts are measured in UTF-16 units. */
  promptMessagesMax: 200,
  promptTextMax: 150_000,
  messageTextMax: 100_000,
  attachmentsMax: 20,
  attachmentBytesMax: 64 * mebibyte,
  attachmentTimeoutMs: 2 * minute,
  /** An image above this is named in the prompt but not shown to the model. */
  imageBytesMax: 5 * mebibyte,

  /** Files in one listing of an out folder; the rest waits. */
  outFilesPerSweep: 1000,
  /** After news of an out folder nothing is heard from it for so long; then it is looked at. */
  outQuietMs: 5,
  /** Backs up the file system's events, which may be lost or absent (VMs of macOS). */
  outSweepMs: 5 * second,
  /** Refused files kept per agent and told of per run, and what is kept of each. */
  quarantineFilesMax: 20,
  quarantineFileBytesMax: 64 * 1024,

  /** Waits between attempts to deliver; the last repeats while the channel is down. */
  deliveryDelaysMs: [1, 2, 5, 15, 60].map((seconds) => seconds * second),
  sendFileBytesMax: 64 * mebibyte,
  /** Of one agent: what waits to be sent, or is kept still. */
  sentFilesBytesMax: 1024 * mebibyte,
  /** As the chat sees them, files and reactions included, before the answer. */
  messagesPerTurnMax: 200,
  /** Of one container: its requests, each of which is answered by a file, and its prompts. */
  requestsPerRunMax: 20_000,

  /** All that an agent has on the disk, and what it must leave free. */
  folderBytesMax: 10 * 1024 * mebibyte,
  folderFilesMax: 500_000,
  diskFreeBytesMin: 1024 * mebibyte,
  /** Between two looks at it; one look takes longer with many files, and too long with too many. */
  folderCheckMs: 5 * second,
  folderLookTimeoutMs: 2 * minute,

  /** What is kept of a container's standard error. */
  stderrTextMax: 2000,

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

const slotBytes = 1024 * mebibyte;

/**
 * The limits on a machine of so much memory and so many processors. A container takes about 300 MiB
 * and waits for the model most of the time.
 */
export function limitsFor(machine: { memoryBytes: number; processors: number }): Limits {
  const most = Math.min(machine.memoryBytes / slotBytes, 4 * machine.processors, 16);
  return { ...defaultLimits, containersMax: Math.max(2, Math.floor(most)) };
}

/** How long handled rows and files are kept. Unhandled ones are never removed. */
export const retention = {
  sweepEveryMs: 60 * minute,
  messagesMs: 365 * day,
  turnsMs: 90 * day,
  outboxMs: 30 * day,
  noticesMs: 2 * day,
  filesMs: 7 * day,
};

/** The environment variable of each kind of credential. */
export const credentialVariables = {
  'api-key': 'ANTHROPIC_API_KEY',
  'oauth-token': 'CLAUDE_CODE_OAUTH_TOKEN',
  'auth-token': 'ANTHROPIC_AUTH_TOKEN',
} as const;

export interface Credential {
  kind: keyof typeof credentialVariables;
  secret: string;
}

export interface ModelAccess {
  baseUrl: string;
  credential: Credential;
  /** What the ledger calls it; its host unless said. */
  label?: string;
  /** Ends the demo model. */
  close?(): Promise<void>;
}

export type Config = ReturnType<typeof loadConfig>;

const optional = z.string().optional();
const assistantName = z
  .string()
  .regex(/^[\p{L}\p{N}][\p{L}\p{N}\p{M}_-]{0,29}$/u, 'one word of letters and digits, at most 30');
const logLevel = z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']);

const environmentSchema = z.object({
  ANTHROPIC_API_KEY: optional,
  CLAUDE_CODE_OAUTH_TOKEN: optional,
  ANTHROPIC_AUTH_TOKEN: optional,
  ANTHROPIC_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.anthropic.com'),
  ASSISTANT_NAME: assistantName.default('Andy'),
  NANOCLAW_HOME: optional,
  NANOCLAW_IMAGE_BASE: optional,
  NANOCLAW_RUNTIME: optional,
  XDG_CONFIG_HOME: optional,
  LOG_LEVEL: logLevel.default('silent'),
  WHATSAPP_WEBSOCKET_URL: z.url({ protocol: /^wss?$/ }).optional(),
});

/**
 * Reads the environment and the project's `.env` (the environment wins).
 * Throws UserError that names what is wrong.
 */
export function loadConfig(environment: NodeJS.Dict<string>, projectDir: string) {
  const path = join(projectDir, '.env');
  const dotEnv = existsSync(path) ? parseEnv(readFileSync(path, 'utf8')) : {};
  const given = Object.entries({ ...dotEnv, ...environment })
    .map(([name, value]) => [name, value?.trim()])
    // Set to nothing counts as not set.
    .filter(([, value]) => value);
  const parsed = environmentSchema.safeParse(Object.fromEntries(given));
  if (!parsed.success)
    throw new UserError(`The settings cannot be used.\n${z.prettifyError(parsed.error)}`);
  const settings = parsed.data;
  const homeDir = resolve(settings.NANOCLAW_HOME ?? projectDir);
  const dataDir = join(homeDir, 'data');
  return {
    assistantName: settings.ASSISTANT_NAME,
    /** The program: sources, built files, node_modules. */
    projectDir,
    /** The state; all that follows lies in it. */
    homeDir,
    groupsDir: join(homeDir, 'groups'),
    storeDir: join(homeDir, 'store'),
    dataDir,
    logsDir: join(dataDir, 'logs'),
    trashDir: join(dataDir, 'trash'),
    socketPath: join(dataDir, 'nanoclaw.sock'),
    /** The name of the one that is to be used, or null to detect one. */
    runtime: settings.NANOCLAW_RUNTIME ?? null,
    /** What the image of the engines is built from, or null for the Dockerfile's own base. */
    imageBase: settings.NANOCLAW_IMAGE_BASE ?? null,
    /** Which folders of the host may be lent; apart from the state, so that no agent sees it. */
    allowlistPath: resolve(
      settings.XDG_CONFIG_HOME ?? join(homedir(), '.config'),
      'nanoclaw/mount-allowlist.json',
    ),
    /** Null when no credential is there: then the demo model answers. */
    model: modelAccess(settings),
    terminalLogLevel: settings.LOG_LEVEL,
    /** Null for WhatsApp's own server. */
    whatsAppUrl: settings.WHATSAPP_WEBSOCKET_URL ?? null,
  };
}

function modelAccess(settings: z.infer<typeof environmentSchema>): ModelAccess | null {
  for (const kind of ['api-key', 'oauth-token', 'auth-token'] as const) {
    const secret = settings[credentialVariables[kind]];
    if (secret) return { baseUrl: settings.ANTHROPIC_BASE_URL, credential: { kind, secret } };
  }
  return null;
}
