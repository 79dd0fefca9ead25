/** Files that a person at this machine attaches. They could read them anyway. */
import { accessSync, constants, createReadStream, statSync } from 'node:fs';
import { basename } from 'node:path';
import mime from 'mime';
import { defaultLimits } from '../../config.ts';
import { type IncomingAttachment, UserError } from '../../types.ts';

/** Throws an error that says, to the person, why the file cannot be sent. */
export function checkFile(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new UserError(`There is no file ${path}.`);
  if (stats.isDirectory()) throw new UserError(`${path} is a folder: /attach sends one file.`);
  if (!stats.isFile()) throw new UserError(`${path} is no regular file.`);
  const bytesMax = defaultLimits.attachmentBytesMax;
  if (stats.size > bytesMax) throw new UserError(`${path} has more than ${bytesMax} bytes.`);
  accessSync(path, constants.R_OK);
}

export function localFile(path: string): IncomingAttachment {
  checkFile(path);
  const type = mime.getType(path) ?? 'application/octet-stream';
  const family = type.slice(0, type.indexOf('/'));
  const kind = (['image', 'audio', 'video'] as const).find((kind) => kind === family);
  return {
    kind: kind ?? 'document',
    name: basename(path),
    mime: type,
    open: async () => createReadStream(path),
  };
}
