/**
 * The session's input, kept open: prompts go in when they come, as user messages with the
 * uuids that the host gave them. Knows no turn; the SDK decides which prompts make one.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SDKUserMessage } from '@anthropic-ai/claude-agent-sdk/core';
import { z } from 'zod';
import type { Prompt } from '../../src/protocol.ts';

const part = z.string();
const uuidSchema = z.templateLiteral([part, '-', part, '-', part, '-', part, '-', part]);
const imageMimeSchema = z.enum(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);

type Content = Exclude<SDKUserMessage['message']['content'], string>;

export class Prompts implements AsyncIterable<SDKUserMessage> {
  readonly #groupDir: string;
  readonly #waiting: Prompt[] = [];
  #ended = false;
  #wake = () => {};

  /** Paths of images are relative to `groupDir`. */
  constructor(groupDir: string) {
    this.#groupDir = groupDir;
  }

  push(prompt: Prompt): void {
    this.#waiting.push(prompt);
    this.#wake();
  }

  /** Lets the session finish: what was pushed is still handed over, nothing more is. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SDKUserMessage, void> {
    for (;;) {
      const prompt = this.#waiting.shift();
      if (prompt) yield await this.#messageOf(prompt);
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async #messageOf(prompt: Prompt): Promise<SDKUserMessage> {
    const images = await Promise.all(prompt.images.map((image) => this.#blockOf(image)));
    return {
      type: 'user',
      message: { role: 'user', content: [{ type: 'text', text: prompt.text }, ...images] },
      parent_tool_use_id: null,
      uuid: uuidSchema.parse(prompt.uuid),
    };
  }

  async #blockOf({ path, mime }: Prompt['images'][number]): Promise<Content[number]> {
    try {
      const data = await readFile(join(this.#groupDir, path), 'base64');
      const source = { type: 'base64' as const, media_type: imageMimeSchema.parse(mime), data };
      return { type: 'image', source };
    } catch (error) {
      return { type: 'text', text: `[The image ${path} could not be shown: ${reasonOf(error)}]` };
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof z.ZodError ? 'its type is not known' : String(error);
}
