/**
 * Every limit with its unit, and the settings that the environment may change. There is no other
 * configuration: to change anything else, edit it here.
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
  /** Containers at once, warm ones included. Main gets one more when all have work. */
  containersMax: 5,
  /** A container without a turn is stopped after this. */
  idleTimeoutMs: 10 * minute,
  /** From the start of the process to the runner's first file. */
  startTimeoutMs: 60 * second,
  /** One turn, tools included. */
  turnTimeoutMs: 30 * minute,
  /** Between asking a container to close and killing it. */
  closeGraceMs: 2 * second,

  /** Waits before the retries of a turn that the model has failed. Then the turn is given up. */
  retryDelaysMs: [5, 15, 45, 135, 405, 600, 600, 600].map((seconds) => seconds * second),
  /** After this many attempts, the chat is told that the model is not available. */
  attemptsBeforeNotice: 2,
  crashAttemptsMax: 3,
  crashRetryDelayMs: second,

  /** A message that arrives later than this after it was sent is context, and is not answered. */
  staleMessageMs: 12 * 60 * minute,
  /** Messages shown as context at most, and UTF-16 units of each; the newest are kept. */
  contextMessagesMax: 50,
  contextMessageTextMax: 4000,
  /** All of them as they stand in the prompt: escaped, with names, quotes and attachments. */
  contextTextMax: 32_000,
  /** Messages that wake the agent and are claimed at once. Texts are measured in UTF-16 units. */
  promptMessagesMax: 200,
  /** Of the finished prompt; the next message goes into the next. One that is longer is alone. */
  promptTextMax: 150_000,
  messageTextMax: 100_000,
  quoteTextMax: 300,
  attachmentsMax: 20,
  attachmentBytesMax: 64 * mebibyte,
  attachmentTimeoutMs: 2 * minute,
  /** All files that people have sent to a group and that its agent has not deleted. */
  mediaBytesMax: 2048 * mebibyte,
  /** An image above this is named in the prompt but not shown to the model. */
  imageBytesMax: 5 * mebibyte,
  /** Images shown in one prompt: the API refuses a request of more than 32 MB. */
  imagesMax: 20,
  imagesBytesMax: 12 * mebibyte,

  /** Files in one listing of an out folder; the rest waits for the next. */
  outFilesPerSweep: 1000,
  /** How long an out folder is not watched after an event. */
  outQuietMs: 5,
  /** Backs up the file system's events, which may be lost or absent (VMs of macOS). */
  outSweepMs: 5 * second,
  /** Refused files kept per agent and logged per run, and the bytes kept of each. */
  quarantineFilesMax: 20,
  quarantineFileBytesMax: 64 * 1024,

  /** Interval of pings to WhatsApp. After five seconds more of silence the connection ends. */
  keepAliveMs: 25 * second,

  /** Waits before the retries of a delivery. The last one repeats while the channel is down. */
  deliveryDelaysMs: [1, 2, 5, 15, 60].map((seconds) => seconds * second),
  /** How long a file on its way up holds back the texts behind it. */
  uploadHoldMs: 3 * second,
  /** A longer answer is sent as its beginning and a file with all of it. */
  piecesMax: 3,
  sendFileBytesMax: 64 * mebibyte,
  /** All files sent to one chat that wait for delivery or are still kept. */
  sentFilesBytesMax: 1024 * mebibyte,
  /** Messages before the answer, with files and reactions. */
  messagesPerTurnMax: 200,
  /** Files sent to one container: prompts, and an answer to each of its requests. */
  requestsPerRunMax: 20_000,

  /** What an agent may have on the disk, and what must stay free there. */
  folderBytesMax: 10 * 1024 * mebibyte,
  folderFilesMax: 500_000,
  diskFreeBytesMin: 1024 * mebibyte,
  /** With less, no turn is started; it is looked at again after a while. */
  diskStartBytesMin: 64 * mebibyte,
  diskRetryMs: 15 * second,
  /** Kept for the stores, so that the host answers when the disk is full. */
  diskReserveBytes: 16 * mebibyte,
  /**
   * Between two checks of this. A check takes longer with more files, and is cut off at its
   * timeout.
   */
  folderCheckMs: 5 * second,
  folderLookTimeoutMs: 2 * minute,

  /** The end of a container's standard error that is kept, in UTF-16 units. */
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
 * The limits on this machine. A container takes about 300 MiB and waits for the model most of the
 * time.
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
  /** Its name in the ledger; by default the host of `baseUrl`. */
  label?: string;
  /** Ends the demo model. */
  close?(): Promise<void>;
}

export type Config = ReturnType<typeof loadConfig>;

const optional = z.string().optional();
/** What can stand in a header of HTTP. */
const secret = z
  .string()
  .regex(/^[\x21-\x7E]+$/, 'letters, digits and signs of ASCII, without spaces')
  .optional();
const assistantName = z
  .string()
  .regex(/^[\p{L}\p{N}][\p{L}\p{N}\p{M}_-]{0,29}$/u, 'one word of letters and digits, at most 30');
const logLevel = z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']);

const environmentSchema = z.object({
  ANTHROPIC_API_KEY: secret,
  CLAUDE_CODE_OAUTH_TOKEN: secret,
  ANTHROPIC_AUTH_TOKEN: secret,
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
    // An empty value counts as not set.
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
    /** The state; the paths below are inside it. */
    homeDir,
    groupsDir: join(homeDir, 'groups'),
    storeDir: join(homeDir, 'store'),
    dataDir,
    /** The host's copies of files on their way to a chat. */
    filesDir: join(dataDir, 'files'),
    logsDir: join(dataDir, 'logs'),
    trashDir: join(dataDir, 'trash'),
    socketPath: join(dataDir, 'nanoclaw.sock'),
    /** The name of the container runtime, or null to detect one. */
    runtime: settings.NANOCLAW_RUNTIME ?? null,
    /** The base of the engines' image, or null for the Dockerfile's own. */
    imageBase: settings.NANOCLAW_IMAGE_BASE ?? null,
    /** The folders of the host that may be lent. Outside the state, so that no agent sees it. */
    allowlistPath: resolve(
      settings.XDG_CONFIG_HOME ?? join(homedir(), '.config'),
      'nanoclaw/mount-allowlist.json',
    ),
    /** Null without a credential: then the demo model answers. */
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
