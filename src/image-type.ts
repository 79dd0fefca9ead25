/** Tells images by their first bytes: a file's type is only what its sender claims. */

const signatures = [
  [/^\x89PNG/, 'image/png'],
  [/^\xFF\xD8\xFF/, 'image/jpeg'],
  [/^GIF8/, 'image/gif'],
  [/^RIFF.{4}WEBP(?!.*ANIM)/s, 'image/webp'],
] as const;

/** The type of an image that the model accepts, by its first 64 bytes. */
export function imageType(bytes: Buffer) {
  const start = bytes.toString('latin1', 0, 64);
  return signatures.find(([signature]) => signature.test(start))?.[1];
}
