/** A host with a further feature, as a program that a test can start and kill. */
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

const projectDir = dirname(dirname(import.meta.dirname));

/** Bundles it; `feature` names the module, relative to the project, and what it exports. */
export async function bundleHost(feature: { module: string; name: string }): Promise<string> {
  const contents = `
    import { loadConfig } from './src/config.ts';
    import { features } from './src/features.ts';
    import { startHost } from './src/index.ts';
    import { ${feature.name} } from './${feature.module}';
    process.umask(0o022);
    const config = loadConfig(process.env, ${JSON.stringify(projectDir)});
    const host = await startHost(config, config.model, { features: [...features, ${feature.name}] });
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
