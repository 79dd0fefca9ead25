/** The disk is full to the last byte. Only root can mount a small one. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { App } from '../support/app.ts';
import { canMount, SmallDisk } from '../support/small-disk.ts';

const mebibyte = 1024 ** 2;

test.skipIf(!canMount)(
  'with the disk full the host answers commands, keeps messages, and goes on when there is room',
  async () => {
    const disk = new SmallDisk(96);
    const limits = {
      diskFreeBytesMin: 24 * mebibyte,
      diskStartBytesMin: 24 * mebibyte,
      diskReserveBytes: 16 * mebibyte,
      diskRetryMs: 200,
    };
    const app = await App.start({ home: join(disk.dir, 'home'), limits });
    app.model.on('hello').reply('Hello.');
    app.model.on('later').reply('At last.');
    const person = await app.attach();
    await person.say('hello');
    expect(await person.nextText()).toBe('Hello.');

    disk.fill();
    await person.say('/status');
    expect(await person.nextText()).toMatch(/^Here: idle\./);
    for (let count = 0; count < 200; count += 1) {
      await person.say('/status');
      expect(await person.nextText()).toMatch(/^Here: idle\./);
    }
    await person.say('later, please');
    expect(await person.nextText()).toMatch(/^This machine's disk is full\. Your message is kept/);
    await person.say('/status');
    expect(await person.nextText()).toMatch(/^Here: waiting\./);

    disk.empty();
    expect(await person.nextText()).toBe('At last.');
  },
);
