/** A file system of a few megabytes, which a test can fill to the last byte. Only root can make one. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export const canMount = process.platform === 'linux' && process.getuid?.() === 0;

export class SmallDisk {
  readonly dir = mkdtempSync(join(tmpdir(), 'nanoclaw-disk-'));
  readonly #filler = join(this.dir, 'filler');

  constructor(megabytes: number) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'none', this.dir]);
    onTestFinished(() => {
      execFileSync('umount', ['--lazy', this.dir]);
      rmSync(this.dir, { recursive: true });
    });
  }

  fill(): void {
    const fd = openSync(this.#filler, 'a');
    try {
      for (const size of [1024 * 1024, 4096]) this.#append(fd, Buffer.alloc(size));
    } finally {
      closeSync(fd);
    }
  }

  #append(fd: number, block: Buffer): void {
    try {
      for (;;) if (writeSync(fd, block) < block.length) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }

  empty(): void {
    rmSync(this.#filler);
  }
}
