import { fileChecks } from './files.ts';
import { networkChecks } from './network.ts';
import { hostileSuite } from './suite.ts';

hostileSuite('a hostile agent', [...fileChecks, ...networkChecks]);
