/** Turns prompts into user messages of the SDK. They keep the uuids that the host gave them. */
import type { UUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SDKUserMessage } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';
import type { Prompt } from '../../src/protocol.ts';

/** The protocol has checked it; the SDK's type is narrower. */
const uuidSchema = z.custom<UUID>();

/** First bytes of the images that the model accepts. A file's type is only what its sender claims. */
const signatures = [
  [/^\x89PNG/, 'image/png'],
  [/^\xFF\xD8\xFF/, 'image/jpeg'],
  [/^GIF8/, 'image/gif'],
  [/^RIFF.{4}WEBP(?!.*ANIM)/s, 'image/webp'],
] as const;

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
    const start = bytes.toString('latin1', 0, 64);
    const media_type = signatures.find(([signature]) => signature.test(start))?.[1];
    // The API would refuse it, and then every later request of this conversation.
    if (!media_type) throw new Error('it is no PNG, JPEG, GIF or still WebP');
    const data = bytes.toString('base64');
    return { type: 'image', source: { type: 'base64', media_type, data } };
  } catch (error) {
    return { type: 'text', text: `[The image ${path} could not be shown: ${error}]` };
  }
}
