/** `npm run build`: installs and builds what is missing or out of date, and starts nothing. */
import { command, prepare } from './setup.mjs';

await command(async () => {
  await prepare({ runtime: false });
  return 0;
});
