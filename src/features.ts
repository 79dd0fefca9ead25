/** The features there are. A further one is a folder in features/ and a line here. */
import type { Feature } from './feature.ts';
import { approvals } from './features/approvals/approvals.ts';
import { control } from './features/control/control.ts';
import { groups } from './features/groups/groups.ts';
import { housekeeping } from './features/housekeeping/housekeeping.ts';
import { memory } from './features/memory/memory.ts';
import { mounts } from './features/mounts/mounts.ts';
import { speech } from './features/speech/speech.ts';
import { web } from './features/web/web.ts';

export const features: readonly Feature[] = [
  control,
  approvals,
  speech,
  groups,
  memory,
  mounts,
  web,
  housekeeping,
];
