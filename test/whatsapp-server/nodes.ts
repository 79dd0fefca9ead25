/** The binary XML nodes of WhatsApp's protocol: making them and reading them. */
import {
  type BinaryNode,
  encodeBigEndian,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildren,
} from 'baileys';

export type { BinaryNode };

/** The server itself is an address with an empty user. */
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

/** The bytes of a child. Throws when there are none: the client broke the protocol. */
export function childBytes(parent: BinaryNode | undefined, tag: string): Buffer {
  const bytes = getBinaryNodeChildBuffer(parent, tag);
  if (!bytes) throw new Error(`<${parent?.tag}> has no <${tag}>`);
  return Buffer.from(bytes);
}

export function bigEndian(value: number, length?: number): Uint8Array {
  return encodeBigEndian(value, length);
}

/** Changes a byte of the encrypted content, so that nobody can read it. */
export function damage(part: BinaryNode | undefined): void {
  const bytes = part?.content;
  if (bytes instanceof Uint8Array) bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 0xff;
}
