/**
 * Keeps the files that people send in their group's folder: each is bounded, and so are all of a
 * group together and what they leave free on the disk. Removes nothing to make room.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Base } from './base.ts';
import { imageType } from './image-type.ts';
import { diskUsage, freeBytes } from './runtimes/folder-watch.ts';
import { createInside, Refused, readInside } from './safe-open.ts';
import { clip, fileName, plainName, tail } from './text.ts';
import { type Attachment, type Group, type IncomingAttachment, UserError } from './types.ts';

export interface Kept {
  attachments: Attachment[];
  /** A line for the prompt about each file that was not kept. */
  problems: string[];
}

const nameMax = 120;

/** What a group's files take, while some are on their way: these count together. */
interface Usage {
  writers: number;
  bytes: Promise<number>;
  addedBytes: number;
}

export class Media {
  readonly #deps: Base;
  readonly #usages = new Map<string, Usage>();

  constructor(deps: Base) {
    this.#deps = deps;
  }

  async keepAll(files: IncomingAttachment[], group: Group): Promise<Kept> {
    const offered = files.slice(0, this.#deps.limits.attachmentsMax);
    const kept = await Promise.all(offered.map((file) => this.#keep(file, group)));
    return {
      attachments: kept.filter((file) => typeof file !== 'string'),
      problems: kept.filter((file) => typeof file === 'string'),
    };
  }

  async #keep(file: IncomingAttachment, group: Group): Promise<Attachment | string> {
    const { config, limits, log, clock } = this.#deps;
    const name = plainName(file.name, nameMax, tail) || 'file';
    const mime = clip(file.mime, nameMax);
    const day = new Date(clock.now()).toISOString().slice(0, 10);
    const groupPath = `media/${day}-${randomUUID().slice(0, 8)}-${fileName(name)}`;
    const dir = join(config.groupsDir, group.folder);
    const usage = this.#enter(dir);
    let addedBytes = 0;
    const admit = (bytes: number) => {
      addedBytes += bytes;
      return this.#admit(dir, usage, bytes);
    };
    const bytesMax = limits.attachmentBytesMax;
    try {
      // The group may not have had a run yet.
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      await admit(0);
      const sizeBytes = await createInside(dir, groupPath, await file.open(), {
        bytesMax,
        timeoutMs: limits.attachmentTimeoutMs,
        uid: group.uid,
        admit,
      });
      const isImage = imageType(readInside(dir, groupPath, { bytesMax, first: 64 }));
      const kind = file.kind === 'image' && !isImage ? 'document' : file.kind;
      return { kind, groupPath, name, mime, sizeBytes };
    } catch (error) {
      // It is gone, and leaves its room to those that are still on their way.
      usage.addedBytes -= addedBytes;
      log.warn({ err: error, group: group.folder, name }, 'an attachment was not kept');
      const problem = error instanceof UserError ? error.message : 'it could not be read';
      return `[${file.kind} ${name} is missing: ${problem}]`;
    } finally {
      usage.writers -= 1;
      // The next file measures again, because the agent may have deleted some.
      if (usage.writers === 0) this.#usages.delete(dir);
    }
  }

  #enter(dir: string): Usage {
    const { folderLookTimeoutMs: timeout } = this.#deps.limits;
    const { signal } = new AbortController();
    const usage = this.#usages.get(dir) ?? {
      writers: 0,
      bytes: diskUsage([join(dir, 'media')], '-k', { signal, timeout }).then((k) => k * 1024),
      addedBytes: 0,
    };
    this.#usages.set(dir, usage);
    usage.writers += 1;
    return usage;
  }

  /** Throws Refused when there is no room for so many bytes more. */
  async #admit(dir: string, usage: Usage, bytes: number): Promise<void> {
    const { mediaBytesMax, diskFreeBytesMin } = this.#deps.limits;
    usage.addedBytes += bytes;
    if ((await usage.bytes) + usage.addedBytes > mediaBytesMax)
      throw new Refused('the files of this chat take all the room that they may have');
    if ((await freeBytes([dir])) - bytes < diskFreeBytesMin)
      throw new Refused("this machine's disk is nearly full");
  }
}
