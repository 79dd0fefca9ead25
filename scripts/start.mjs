/**
 * `npm start`: sets up what is missing, then runs the program in this very process,
 * with its terminal, its arguments and its stdin untouched.
 */
import { command, prepare } from './setup.mjs';

await command(async () => {
  // The doctor is to find out what the machine lacks, not to mend it.
  const mends = process.argv[2] !== 'doctor';
  await prepare({ runtime: mends, image: mends });
  const { main } = await import('../dist/nanoclaw.js');
  const code = await main(process.argv.slice(2));
  // Once all is written: a library's timer that nobody needs any more must not keep us.
  process.stdout.write('', () => process.exit(code));
  return code;
});
