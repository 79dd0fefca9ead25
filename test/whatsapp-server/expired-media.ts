/**
 * Files that the media host has deleted. The phone that sent a file still has it and uploads it
 * again when a device asks. The phone's answer is encrypted with the file's own key.
 */
import { randomBytes } from 'node:crypto';
import { aesEncryptGCM, hkdf, proto } from 'baileys';
import type { Faults } from './faults.ts';
import type { MediaHost } from './media-host.ts';
import { type BinaryNode, child, node } from './nodes.ts';
import { Refusal } from './refusal.ts';

export class ExpiredMedia {
  readonly #media: MediaHost;
  readonly #faults: Faults;
  readonly #find: (id: string) => proto.IMessage | undefined;
  /** By their former path. */
  readonly #files = new Map<string, Buffer>();

  constructor(
    media: MediaHost,
    faults: Faults,
    find: (messageId: string) => proto.IMessage | undefined,
  ) {
    this.#media = media;
    this.#faults = faults;
    this.#find = find;
  }

  /** Throws a Refusal when there is no such message with a file. */
  expire(messageId: string): void {
    const path = this.#partOf(messageId)?.directPath ?? '';
    const file = this.#media.expire(path);
    if (!file) throw new Refusal('no such message with a file');
    this.#files.set(path, file);
  }

  /** The phone's answer to a device that asks; undefined when it does not answer. */
  answer(receipt: BinaryNode, phone: string): BinaryNode | undefined {
    const { id = '' } = receipt.attrs;
    const part = this.#partOf(id);
    const request = child(receipt, 'rmr');
    if (!part?.mediaKey || !request || !this.#faults.phoneUploadsAgain) return undefined;
    const outcome = proto.MediaRetryNotification.encode({
      stanzaId: id,
      ...this.#uploadAgain(part.directPath ?? ''),
    }).finish();
    const iv = randomBytes(12);
    const key = hkdf(Buffer.from(part.mediaKey), 32, { info: 'WhatsApp Media Retry Notification' });
    const sealed = aesEncryptGCM(outcome, Buffer.from(key), iv, Buffer.from(id));
    const ids = { id, from: phone, type: 'mediaretry', t: this.#faults.now() };
    return node('notification', ids, [
      node('encrypt', {}, [node('enc_p', {}, sealed), node('enc_iv', {}, iv)]),
      node('rmr', request.attrs),
    ]);
  }

  #uploadAgain(path: string): proto.IMediaRetryNotification {
    const { NOT_FOUND, SUCCESS } = proto.MediaRetryNotification.ResultType;
    const file = this.#files.get(path);
    if (!file || this.#faults.phoneDeletedMedia) return { result: NOT_FOUND };
    return { result: SUCCESS, directPath: this.#media.put(file) };
  }

  /** The part of a message that describes its file. */
  #partOf(messageId: string): proto.Message.IImageMessage | undefined {
    return Object.values(this.#find(messageId) ?? {}).find((part) => part?.directPath);
  }
}
