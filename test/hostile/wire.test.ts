import { siegeSuite } from './siege.ts';
import { openFlood, wireChecks } from './wire.ts';

siegeSuite('a hostile agent at its wire', wireChecks, { prepare: openFlood });
