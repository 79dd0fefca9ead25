/**
 * `npm start`: sets up what is missing, then runs the program in this very process,
 * with its terminal, its arguments and its stdin untouched.
 */
import { command, prepare } from './setup.mjs';

await command(async () => {
  // The doctor finds out what the machine lacks and does not mend it; an image needs an engine.
  await prepare({ runtime: !['doctor', 'image'].includes(process.argv[2]) });
  const { main } = await import('../dist/nanoclaw.js');
  const code = await main(process.argv.slice(2));
  // After all output is written. A library's timer must not keep the process alive.
  process.stdout.write('', () => process.exit(code));
  return code;
});
