/** `npm run image`: builds the image of the agents' containers, whether or not it is there. */
import { buildImage, engineOf, engines, findEngine } from './agent-image.mjs';
import { SetupError } from './run.mjs';
import { forcedRuntime } from './runtime.mjs';
import { command, projectDir } from './setup.mjs';

const usage = `NANOCLAW_RUNTIME=${engines.join('|')} npm run image`;

await command(async () => {
  if (process.argv.length > 2)
    throw new SetupError(`takes no arguments; to name the engine: ${usage}`);
  const named = forcedRuntime(projectDir);
  const forced = named && engineOf(named);
  if (named && !forced)
    throw new SetupError(
      `no image is made for NANOCLAW_RUNTIME=${named}; only for engines: ${usage}`,
    );
  const { engine, complaints } = await findEngine(forced ? [forced] : engines);
  if (!engine)
    throw new SetupError(
      [
        'no engine answers, so no image is built.',
        ...complaints,
        'Without an engine none is needed: agents then run in bubblewrap. `npm run doctor` tells more.',
      ].join('\n'),
    );
  await buildImage(engine, projectDir);
  return 0;
});
