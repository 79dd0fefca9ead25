/** The agent-runner with its settings, as JSON, in the first argument. */
import { runAgent } from '../../../container/agent-runner/runner.ts';

runAgent(JSON.parse(process.argv[2] ?? ''));
