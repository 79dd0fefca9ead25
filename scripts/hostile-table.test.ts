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

test('one row a check, one column a runtime, and the latest run of each counts', () => {
  const rows = [row('bubblewrap', false), row('docker', true), row('bubblewrap', true)];
  expect(hostileTable([...rows, { ...row('docker', true), id: 'other', says: 'sing' }])).toBe(
    [
      '| area | an agent cannot ... | bubblewrap | docker |',
      '| --- | --- | --- | --- |',
      '| kernel | mount anything | held | held |',
      '| kernel | sing | not run | held |',
      '',
      'Nothing stays open.',
    ].join('\n'),
  );
});

test('what is open says why, or that it is not explained', () => {
  const table = hostileTable([row('docker', false, 'There is no flag.'), row('podman', false)]);
  expect(table).toContain('| kernel | mount anything | **open** | **open** |');
  expect(table).toContain('- docker, "mount anything": There is no flag.');
  expect(table).toContain('- podman, "mount anything": not explained');
});

test('it goes between the marks of the document, and nowhere else', () => {
  const document = 'before\n<!-- hostile:begin -->\nold\n<!-- hostile:end -->\nafter\n';
  const written = withTable(document, 'new');
  expect(written).toBe('before\n<!-- hostile:begin -->\n\nnew\n\n<!-- hostile:end -->\nafter\n');
  expect(withTable(written, 'new')).toBe(written);
  expect(() => withTable('no marks', 'new')).toThrow('not in the document');
});
