import { plant, plantingChecks } from './planting.ts';
import { hostileSuite } from './suite.ts';

hostileSuite('what a hostile agent planted', plantingChecks, { prepare: plant });
