import { allChecks } from './all-checks.ts';
import { hostileSuite } from './suite.ts';

hostileSuite('a hostile agent', allChecks);
