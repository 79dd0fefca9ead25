/** `npm run bench`: set-up, then the benchmark as a process of its own, so that it measures no set-up. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { buildBench } from './bundle.mjs';
import { command, prepare, projectDir } from './setup.mjs';

await command(async () => {
  await prepare();
  await buildBench(projectDir);
  const child = spawn(process.execPath, ['dist/bench.js', ...process.argv.slice(2)], {
    cwd: projectDir,
    stdio: 'inherit',
  });
  const [code] = await once(child, 'close');
  return code ?? 1;
});
