/** Creates and reads the binary XML nodes of WhatsApp's protocol. */
import {
  type BinaryNode,
  encodeBigEndian,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildren,
} from 'baileys';

export type { BinaryNode };

/** The server's own address has an empty user. */
export const serverJid = '@s.whatsapp.net';
export const numberHost = 's.whatsapp.net';

export function node(
  tag: string,
  attrs: Record<string, string> = {},
  content?: BinaryNode['content'],
): BinaryNode {
  return content === undefined ? { tag, attrs } : { tag, attrs, content };
}

export function child(parent: BinaryNode | undefined, tag: string): BinaryNode | undefined {
  return getBinaryNodeChild(parent, tag);
}

export function children(parent: BinaryNode | undefined, tag: string): BinaryNode[] {
  return getBinaryNodeChildren(parent, tag);
}

export function firstChild({ content }: BinaryNode): BinaryNode | undefined {
  return Array.isArray(content) ? content[0] : undefined;
}

/** The bytes of a child node. Throws without any, because the client has broken the protocol. */
export function childBytes(parent: BinaryNode | undefined, tag: string): Buffer {
  const bytes = getBinaryNodeChildBuffer(parent, tag);
  if (!bytes) throw new Error(`<${parent?.tag}> has no <${tag}>`);
  return Buffer.from(bytes);
}

export function bigEndian(value: number, length?: number): Uint8Array {
  return encodeBigEndian(value, length);
}

/** Changes one byte of the encrypted content, so that it cannot be decrypted. */
export function damage(part: BinaryNode | undefined): void {
  const bytes = part?.content;
  if (bytes instanceof Uint8Array) bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 0xff;
}
