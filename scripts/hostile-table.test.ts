import { expect, test } from 'vitest';
import { hostileTable, withTable } from './hostile-table.mjs';

const row = (runtime: string, isHeld: boolean, why: string | null = null) => ({
  runtime,
  isHeld,
  why,
  id: 'mounts',
  area: 'kernel',
  says: 'mount anything',
});

test('counts by area and runtime, and lists each check once; its latest run counts', () => {
  const rows = [row('bubblewrap', false), row('docker', true), row('bubblewrap', true)];
  expect(hostileTable([...rows, { ...row('docker', true), id: 'other', says: 'sing' }])).toBe(
    [
      '| area | checks | bubblewrap | docker |',
      '| --- | ---: | ---: | ---: |',
      '| kernel | 2 | 1 held | 2 held |',
      '',
      'Nothing stays open.',
      '',
      'What was tried. An agent cannot ...',
      '',
      'kernel:',
      '',
      '- mount anything',
      '- sing (not run with bubblewrap)',
    ].join('\n'),
  );
});

test('an open check is listed with its reason, or as not explained', () => {
  const table = hostileTable([row('docker', false, 'There is no flag.'), row('podman', false)]);
  expect(table).toContain('| kernel | 1 | 0 held | 0 held |');
  expect(table).toContain('- mount anything (**open** with docker, podman)');
  expect(table).toContain('- mount anything (docker): There is no flag.');
  expect(table).toContain('- mount anything (podman): not explained');
});

test('a reason that several runtimes share is given once', () => {
  const table = hostileTable(['docker', 'podman'].map((name) => row(name, false, 'No flag.')));
  expect(table).toContain('- mount anything (docker, podman): No flag.');
});

test('the table replaces only the text between the marks of the document', () => {
  const document = 'before\n<!-- hostile:begin -->\nold\n<!-- hostile:end -->\nafter\n';
  const written = withTable(document, 'new');
  expect(written).toBe('before\n<!-- hostile:begin -->\n\nnew\n\n<!-- hostile:end -->\nafter\n');
  expect(withTable(written, 'new')).toBe(written);
  expect(() => withTable('no marks', 'new')).toThrow('not in the document');
});
