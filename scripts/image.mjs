/** `npm run image`: builds the image of the agents' containers, whether or not it is there. */
import { buildImage, engineOf, engines, findEngine } from './agent-image.mjs';
import { SetupError } from './run.mjs';
import { forcedRuntime } from './runtime.mjs';
import { command, projectDir } from './setup.mjs';

await command(async () => {
  const forced = engineOf(forcedRuntime(projectDir) ?? '');
  const engine = await findEngine(forced ? [forced] : engines);
  if (!engine)
    throw new SetupError(
      `${forced ?? engines.join(', ')}: not installed, or not running. Without an engine no image is needed: agents then run in bubblewrap.`,
    );
  await buildImage(engine, projectDir);
  return 0;
});
