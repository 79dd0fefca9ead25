/**
 * `npm start`: sets up what is missing, then runs the program in this very process,
 * with its terminal, its arguments and its stdin untouched.
 */
import { command, prepare } from './setup.mjs';

await command(async () => {
  await prepare();
  const { main } = await import('../dist/nanoclaw.js');
  return main(process.argv.slice(2));
});
