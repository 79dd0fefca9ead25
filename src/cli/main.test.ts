import { afterEach, expect, test, vi } from 'vitest';
import { main } from './main.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

test.each([[], ['chat'], ['link'], ['doctor'], ['image']])(
  '%s --help is an answer, not a mistake',
  async (...command) => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    expect(await main([...command, '--help'])).toBe(0);
    expect(write.mock.calls.join('')).toContain('npm run chat -- [--group NAME] [--as NAME]');
  },
);
