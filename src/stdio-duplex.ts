/**
 * Two one-way streams (a child's stdout and stdin, or one's own) as the one that HTTP/2 wants.
 * Used at both ends of the wire. It does not pass on an end or an error: Node's adapter
 * between HTTP/2 and such streams throws, uncatchably, when it must write after an end.
 */
import { Duplex, type Readable, type Writable } from 'node:stream';

export interface Stdio {
  input: Readable;
  output: Writable;
}

/** Calls `onOver`, perhaps more than once, when a stream ends or fails. */
export function stdioDuplex({ input, output }: Stdio, onOver: (reason: Error) => void): Duplex {
  const duplex = new Duplex({
    read: () => {
      input.resume();
    },
    // Frames that are ready together leave in one write.
    writev(chunks, done) {
      output.cork();
      for (const { chunk } of chunks) output.write(chunk);
      output.write('', () => done());
      output.uncork();
    },
    destroy(error, done) {
      input.destroy();
      output.destroy();
      done(error);
    },
  });
  input.on('data', (chunk) => {
    if (!duplex.push(chunk)) input.pause();
  });
  const over = (reason = new Error('The other side has closed its end.')) => {
    // What our own `destroy` causes is no news.
    if (!duplex.destroyed) onOver(reason);
  };
  input.once('end', () => over()).once('close', () => over());
  input.on('error', over);
  output.on('error', over);
  return duplex;
}
