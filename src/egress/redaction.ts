/**
 * Keeps the credential from coming back in what the model API, or a gateway before it, says: an echo
 * of headers, or "Received API Key = ...". Nothing is buffered but what may be its beginning.
 */
import { Transform } from 'node:stream';

const mark = '[credential]';

/** Replaces secrets, in any notation of at least `lengthMin` characters. */
export class Redaction {
  readonly #notations: string[];
  readonly #pattern: RegExp;

  constructor(secrets: string[], lengthMin: number) {
    const long = secrets.flatMap(notationsOf).filter(({ length }) => length >= lengthMin);
    this.#notations = long.map((notation) => notation.toLowerCase());
    const literals = long.map((notation) => notation.replace(/\W/g, '\\$&'));
    this.#pattern = new RegExp(literals.join('|') || '(?!)', 'gi');
  }

  replace(text: string): string {
    return text.replace(this.#pattern, mark);
  }

  /** Passes each chunk on at once, but for an end with which a secret may begin. */
  stream(): Transform {
    let rest = '';
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        // One character per byte, so that no chunk is cut within a character.
        const text = this.replace(rest + chunk.toString('latin1'));
        const end = this.#findBeginning(text);
        rest = text.slice(end);
        done(null, Buffer.from(text.slice(0, end), 'latin1'));
      },
      flush: (done) => done(null, Buffer.from(rest, 'latin1')),
    });
  }

  #findBeginning(text: string): number {
    const longest = Math.max(0, ...this.#notations.map(({ length }) => length));
    // A notation has no line ends, and nearly every chunk of a good answer ends in one.
    let start = Math.max(text.lastIndexOf('\n') + 1, text.length - longest);
    for (; start < text.length; start += 1) {
      const end = text.slice(start).toLowerCase();
      if (this.#notations.some((notation) => notation.startsWith(end))) break;
    }
    return start;
  }
}

/** How programs write a secret. */
function notationsOf(secret: string): string[] {
  const inJson = JSON.stringify(secret).slice(1, -1);
  const escaped = secret.replace(/[^\w.-]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  // What is the same whatever stands before and after it.
  const inBase64 = [0, 1, 2].map((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    const whole = Math.floor((bytes.length * 8) / 6);
    return bytes.toString('base64').slice(Math.ceil((before * 8) / 6), whole);
  });
  const forUrls = inBase64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [
    secret,
    encodeURIComponent(secret),
    inJson,
    inJson.replaceAll('/', '\\/'),
    escaped,
    Buffer.from(secret).toString('hex'),
    ...inBase64,
    ...forUrls,
  ];
}
