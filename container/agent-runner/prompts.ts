/** Turns prompts into user messages of the SDK. They keep the uuids that the host gave them. */
import type { UUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SDKUserMessage } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';
import { imageType } from '../../src/image-type.ts';
import type { Prompt } from '../../src/protocol.ts';

/** The protocol has checked it; the SDK's type is narrower. */
const uuidSchema = z.custom<UUID>();

type Block = Exclude<SDKUserMessage['message']['content'], string>[number];

/** Image paths are relative to `groupDir`. An image that cannot be shown becomes a note. */
export async function* userMessages(
  prompts: AsyncIterable<Prompt>,
  groupDir: string,
): AsyncIterable<SDKUserMessage> {
  for await (const { uuid, text, images } of prompts) {
    const blocks = await Promise.all(images.map((path) => imageBlock(path, groupDir)));
    yield {
      type: 'user',
      message: { role: 'user', content: [{ type: 'text', text }, ...blocks] },
      parent_tool_use_id: null,
      uuid: uuidSchema.parse(uuid),
    };
  }
}

async function imageBlock(path: string, dir: string): Promise<Block> {
  try {
    const bytes = await readFile(join(dir, path));
    const media_type = imageType(bytes);
    // The API would refuse it, and then every later request of this conversation.
    if (!media_type) throw new Error('it is no PNG, JPEG, GIF or still WebP');
    const data = bytes.toString('base64');
    return { type: 'image', source: { type: 'base64', media_type, data } };
  } catch (error) {
    return { type: 'text', text: `[The image ${path} could not be shown: ${error}]` };
  }
}
