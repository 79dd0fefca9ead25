/**
 * What host and container say to each other: `in/000001.json`, ... to the agent-runner,
 * `out/000001.json`, ... from it. Each side parses here, once, at its border.
 */
import { z } from 'zod';

export const protocolFileBytesMax = 1024 * 1024;
/** The longest text in one file, in UTF-16 units. */
export const textMax = 200_000;

export const inside = {
  group: '/workspace/group',
  global: '/workspace/global',
  project: '/workspace/project',
  inbox: '/workspace/ipc/in',
  outbox: '/workspace/ipc/out',
  home: '/home/agent',
  program: '/opt/nanoclaw',
} as const;

/** `inputSchema` is a JSON schema: https://modelcontextprotocol.io/specification */
const toolSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  inputSchema: z.looseObject({ type: z.literal('object') }),
});
export type ToolDescription = z.infer<typeof toolSchema>;

export const inFileSchema = z.discriminatedUnion('kind', [
  /** Always the first: how to open the session. */
  z.strictObject({
    kind: z.literal('start'),
    sessionId: z.string().nullable(),
    /** The system prompt. */
    instructions: z.string(),
    /** The tools that the host carries out for this agent. */
    tools: z.array(toolSchema),
    /** Null: the SDK's default. */
    model: z.string().nullable(),
  }),
  /** A user message; `uuid` names it in `turn_done`. */
  z.strictObject({
    kind: z.literal('prompt'),
    uuid: z.uuid(),
    text: z.string(),
    /** Images for the model; the paths are relative to the group's folder. */
    images: z.array(z.string()),
  }),
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
export type Prompt = Extract<InFile, { kind: 'prompt' }>;

const modelErrorSchema = z.strictObject({
  /** HTTP status of the model API; null when there was none. */
  status: z.int().nullable(),
  message: z.string().max(2000),
});
export type ModelError = z.infer<typeof modelErrorSchema>;

const argumentsMax = 50;
/** Not looked into: a schema that walks the keys of a large object holds up the host. */
const argumentsSchema = z.custom<Record<string, unknown>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).length <= argumentsMax,
  `not an object of at most ${argumentsMax} arguments`,
);

const sessionId = z.string().min(1).max(200);

export const outFileSchema = z.discriminatedUnion('kind', [
  /** Sent when the session's id becomes known or changes. */
  z.strictObject({ kind: z.literal('session'), sessionId }),
  z.strictObject({ kind: z.literal('progress'), text: z.string().max(500) }),
  /** Text that answers no prompt, such as after a background task has ended. */
  z.strictObject({ kind: z.literal('reply'), text: z.string().max(textMax) }),
  z.strictObject({
    kind: z.literal('request'),
    requestId: z.string().min(1).max(100),
    tool: z.string().min(1).max(64),
    /** Parsed by the tool's own schema on the host. */
    args: argumentsSchema,
  }),
  /** The prompts `uuids` are answered by `text`, or failed by `error`. */
  z.strictObject({
    kind: z.literal('turn_done'),
    uuids: z.array(z.uuid()).max(1000),
    text: z.string().max(textMax),
    error: modelErrorSchema.nullable(),
    sessionId,
    totalCostUsd: z.number().min(0),
    inputTokens: z.int().min(0),
    outputTokens: z.int().min(0),
  }),
  /** The runner cannot go on; it exits after this. */
  z.strictObject({
    kind: z.literal('failed'),
    reason: z.enum(['session-lost', 'crashed']),
    detail: z.string().max(2000),
  }),
]);
export type OutFile = z.infer<typeof outFileSchema>;
