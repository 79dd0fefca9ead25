/** How imports are read; the rooms and their directions stand in scripts/rooms.mjs. */
import { forbidden } from './scripts/rooms.mjs';

export default {
  forbidden,
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    exclude: { path: '\\.test\\.ts$' },
    includeOnly: '^(src|container)/',
  },
};
