/**
 * What host and container say to each other, as numbered JSON files.
 * `in/000001.json`, ... go to the agent-runner; `out/000001.json`, ... come from it.
 * Each side parses here, once, at its border. Shared by src/ and container/.
 */
import { z } from 'zod';

/** Largest file that either side reads, in bytes. */
export const protocolFileBytesMax = 1024 * 1024;
/** Longest text in one file, in UTF-16 units. */
export const textMax = 200_000;
const shortText = z.string().max(500);

/** Where things lie inside every container. */
export const inside = {
  group: '/workspace/group',
  global: '/workspace/global',
  project: '/workspace/project',
  inbox: '/workspace/ipc/in',
  outbox: '/workspace/ipc/out',
  home: '/home/agent',
  program: '/opt/nanoclaw',
} as const;

/** Sends a user message into the session; `uuid` names it in `turn_done`. */
const promptSchema = z.strictObject({
  kind: z.literal('prompt'),
  uuid: z.uuid(),
  text: z.string(),
  /** Images that also go in as content blocks; paths are relative to the group's folder. */
  images: z.array(z.strictObject({ path: z.string(), mime: z.string() })),
});

export const inFileSchema = z.discriminatedUnion('kind', [
  /** Always the first file: how to open the session. */
  z.strictObject({
    kind: z.literal('start'),
    sessionId: z.string().nullable(),
    /** Appended to the system prompt. */
    instructions: z.string(),
  }),
  promptSchema,
  /** The host's real answer to a `request`. */
  z.strictObject({
    kind: z.literal('response'),
    requestId: z.string(),
    ok: z.boolean(),
    text: z.string(),
  }),
  /** Finish what was handed over, then exit. */
  z.strictObject({ kind: z.literal('close') }),
]);
export type InFile = z.infer<typeof inFileSchema>;
export type Prompt = z.infer<typeof promptSchema>;

/** A tool call that the host carries out. One entry per tool; `args` is checked here. */
export const requestSchema = z.discriminatedUnion('tool', [
  z.strictObject({
    tool: z.literal('send_message'),
    args: z.strictObject({ text: z.string().min(1).max(textMax) }),
  }),
  z.strictObject({
    tool: z.literal('send_file'),
    args: z.strictObject({
      /** Relative to the group's folder, or absolute below it as the container sees it. */
      path: z.string().min(1).max(4096),
      caption: z.string().max(4096).optional(),
    }),
  }),
]);
export type AgentRequest = z.infer<typeof requestSchema>;

const modelErrorSchema = z.strictObject({
  /** HTTP status of the model API, or null when there was none (refused, stalled, unreadable). */
  status: z.number().int().min(100).max(599).nullable(),
  message: z.string().max(2000),
});
export type ModelError = z.infer<typeof modelErrorSchema>;

export const outFileSchema = z.discriminatedUnion('kind', [
  /** The session that is open now; sent when it becomes known or changes. */
  z.strictObject({ kind: z.literal('session'), sessionId: z.string().min(1).max(200) }),
  /** A sign of life: which tool runs, or that the model is being retried. */
  z.strictObject({ kind: z.literal('progress'), text: shortText }),
  /** Text for the chat that answers no prompt (a background task ended). */
  z.strictObject({ kind: z.literal('reply'), text: z.string().max(textMax) }),
  z.strictObject({
    kind: z.literal('request'),
    requestId: z.string().min(1).max(100),
    request: requestSchema,
  }),
  /** The prompts `uuids` are answered by `text`, or failed by `error`. */
  z.strictObject({
    kind: z.literal('turn_done'),
    uuids: z.array(z.uuid()).max(1000),
    text: z.string().max(textMax),
    error: modelErrorSchema.nullable(),
    sessionId: z.string().min(1).max(200),
    /** Cumulative over the session, as the SDK reports it. */
    totalCostUsd: z.number().min(0),
    inputTokens: z.number().int().min(0),
    outputTokens: z.number().int().min(0),
  }),
  /** The runner cannot go on; it exits after this. */
  z.strictObject({
    kind: z.literal('failed'),
    reason: z.enum(['session-lost', 'crashed']),
    detail: z.string().max(2000),
  }),
]);
export type OutFile = z.infer<typeof outFileSchema>;

/** `7` becomes `000007.json`. */
export function numberedFileName(number: number): string {
  return `${String(number).padStart(6, '0')}.json`;
}

/** The number of a file name made by `numberedFileName`; undefined for any other name. */
export function fileNumber(name: string): number | undefined {
  const match = /^(\d{6,9})\.json$/.exec(name);
  if (match?.[1] === undefined) return undefined;
  const number = Number(match[1]);
  return numberedFileName(number) === name ? number : undefined;
}
