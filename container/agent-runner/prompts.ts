/** Prompts as user messages of the SDK, with the uuids that the host gave them. */
import type { UUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SDKUserMessage } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';
import type { Prompt } from '../../src/protocol.ts';

/** Checked by the protocol; the SDK wants a narrower type. */
const uuidSchema = z.custom<UUID>();
const imageMimeSchema = z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);

type Block = Exclude<SDKUserMessage['message']['content'], string>[number];

/** Paths of images are relative to `groupDir`; one that cannot be shown becomes a note. */
export async function* userMessages(
  prompts: AsyncIterable<Prompt>,
  groupDir: string,
): AsyncIterable<SDKUserMessage> {
  for await (const { uuid, text, images } of prompts) {
    const blocks = await Promise.all(images.map((image) => imageBlock(image, groupDir)));
    yield {
      type: 'user',
      message: { role: 'user', content: [{ type: 'text', text }, ...blocks] },
      parent_tool_use_id: null,
      uuid: uuidSchema.parse(uuid),
    };
  }
}

async function imageBlock({ path, mime }: Prompt['images'][number], dir: string): Promise<Block> {
  try {
    const media_type = imageMimeSchema.parse(mime);
    const data = await readFile(join(dir, path), 'base64');
    return { type: 'image', source: { type: 'base64', media_type, data } };
  } catch (error) {
    return { type: 'text', text: `[The image ${path} could not be shown: ${error}]` };
  }
}
