/** A host with options of its own, as a program that a test can start and kill. */
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

const projectDir = dirname(dirname(import.meta.dirname));

/** Bundles it. `module`, relative to the project, exports a function `name` that makes the options. */
export async function bundleHost({ module, name }: Record<'module' | 'name', string>) {
  const contents = `
    import { loadConfig } from './src/config.ts';
    import { startHost } from './src/index.ts';
    import { ${name} } from './${module}';
    process.umask(0o022);
    const config = loadConfig(process.env, ${JSON.stringify(projectDir)});
    const host = await startHost(config, config.model, ${name}());
    process.once('SIGTERM', () => void host.stop().then(() => process.exit(0)));
    process.stderr.write(host.describe().join('\\n') + '\\n');
  `;
  // There it finds the packages that are left outside.
  const dir = mkdtempSync(join(projectDir, 'node_modules', '.bundled-host-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const outfile = join(dir, 'main.mjs');
  await build({
    stdin: { contents, resolveDir: projectDir, loader: 'ts' },
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  return outfile;
}
