/**
 * Keeps what compaction takes away: before each one, the conversation since the last is
 * written as Markdown into the group's `conversations/`. Never stops the compaction.
 */
import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HookCallback } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';

/** Of the newest text, in UTF-16 units. */
const archiveTextMax = 2_000_000;

/** One line of the transcript, as far as it matters; the format is not ours. */
const lineSchema = z.object({
  type: z.enum(['user', 'assistant', 'attachment', 'system']),
  subtype: z.string().optional(),
  timestamp: z.iso.datetime().optional(),
  isMeta: z.boolean().optional(),
  isSidechain: z.boolean().optional(),
  isCompactSummary: z.boolean().optional(),
  message: z.object({ content: z.unknown() }).optional(),
  /** A message that joined a running turn. */
  attachment: z.object({ type: z.literal('queued_command'), prompt: z.unknown() }).optional(),
});
const textBlockSchema = z.object({ type: z.literal('text'), text: z.string() });

/** The PreCompact hook for the group whose folder is `groupDir`. */
export function archiveConversation(groupDir: string): HookCallback {
  return async (input) => {
    try {
      const conversation = await renderTranscript(input.transcript_path);
      if (conversation) await saveConversation(groupDir, input.session_id, conversation);
    } catch (error) {
      console.error('The conversation was not archived:', error);
    }
    return {};
  };
}

async function saveConversation(groupDir: string, sessionId: string, text: string) {
  const dir = join(groupDir, 'conversations');
  await mkdir(dir, { recursive: true });
  const when = localMinute();
  const stamp = when.replace(' ', '-').replace(':', '');
  const path = join(dir, `${stamp}-${sessionId.slice(0, 8)}.md`);
  await writeFile(path, `# Conversation until ${when}\n\n${text}`, { flag: 'a' });
}

/** What was said since the last compaction, as Markdown; empty when nothing was. */
async function renderTranscript(path: string): Promise<string> {
  let text = '';
  let unanswered = '';
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const entry = parseLine(line);
    if (!entry) continue;
    const said = renderEntry(entry);
    unanswered = entry.type === 'assistant' ? '' : unanswered + said;
    text = (text + said).slice(-archiveTextMax);
    // The prompt that set off a compaction may have missed its archive.
    if (entry.subtype === 'compact_boundary') text = unanswered;
  }
  return text;
}

function parseLine(line: string): z.infer<typeof lineSchema> | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined; // SyntaxError: a line that was cut short by a crash.
  }
}

function renderEntry(entry: z.infer<typeof lineSchema>): string {
  if (entry.isMeta || entry.isSidechain || entry.isCompactSummary) return '';
  const text = textOf(entry.message?.content ?? entry.attachment?.prompt).trim();
  if (!text) return '';
  const who = entry.type === 'assistant' ? 'You' : 'User';
  return `**${who}** (${localMinute(entry.timestamp)})\n\n${text}\n\n`;
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((block) => textBlockSchema.safeParse(block).data?.text ?? '').join('\n');
}

/** `2026-03-01 09:05`. */
function localMinute(when: string | number = Date.now()): string {
  const format = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
  return format.format(new Date(when));
}
