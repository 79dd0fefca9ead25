/**
 * Keeps conversations in full: before each compaction, writes what was said so far as Markdown into
 * the group's `conversations/`. A failure never stops the compaction.
 */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HookCallback } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';

/** A line of the transcript that may hold words of somebody. `claude` defines the format. */
const lineSchema = z.object({
  type: z.enum(['user', 'assistant', 'attachment']),
  timestamp: z.string(),
  isMeta: z.literal(false).optional(),
  isCompactSummary: z.literal(false).optional(),
  message: z.object({ content: z.unknown() }).optional(),
  /** A message that joined a running turn. */
  attachment: z.object({ type: z.literal('queued_command'), prompt: z.unknown() }).optional(),
});
const textBlockSchema = z.object({ type: z.literal('text'), text: z.string() });

/** Returns the PreCompact hook, which writes one file for each session below `groupDir`. */
export function archiveConversation(groupDir: string): HookCallback {
  return async ({ transcript_path, session_id }) => {
    try {
      const dir = join(groupDir, 'conversations');
      await mkdir(dir, { recursive: true });
      await writeFile(join(dir, `${session_id}.md`), renderTranscript(transcript_path));
    } catch (error) {
      console.error('The conversation was not archived:', error);
    }
    return {};
  };
}

async function* renderTranscript(path: string): AsyncGenerator<string> {
  const transcript = await open(path);
  for await (const line of transcript.readLines()) {
    const entry = parseLine(line);
    const text = textOf(entry?.message?.content ?? entry?.attachment?.prompt);
    if (!entry || !text) continue;
    const who = entry.type === 'assistant' ? 'You' : 'User';
    yield `**${who}** (${new Date(entry.timestamp).toLocaleString('sv-SE')})\n\n${text}\n\n`;
  }
}

function parseLine(line: string): z.infer<typeof lineSchema> | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined; // SyntaxError: a crash cut the line short.
  }
}

function textOf(content: unknown): string {
  const blocks = Array.isArray(content) ? content : [{ type: 'text', text: content }];
  const texts = blocks.map((block) => textBlockSchema.safeParse(block).data?.text ?? '');
  return texts.join('\n').trim();
}
