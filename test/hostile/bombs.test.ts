import { bombChecks } from './bombs.ts';
import { siegeSuite } from './siege.ts';

siegeSuite('a hostile agent that takes more than its share', bombChecks);
