/**
 * Bundles the programs into dist/: the host, what runs inside the containers, and the containers'
 * filter on system calls. Rebuilds only when a source changed. Replaces each file as a whole, so
 * that another start never reads half a file. Checks no types: that is `npm run check`.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { seccompFilter, seccompProfile } from './seccomp.mjs';

const sources = ['src', 'container'];
const inputs = [
  'package-lock.json',
  'scripts/bundle.mjs',
  'scripts/seccomp.mjs',
  'scripts/system-calls.mjs',
];
const stampFile = 'sources.sha256';

/**
 * Split, so that a channel is loaded only where it is set up. The thread that formats texts is
 * loaded from here by tests too.
 */
const host = {
  entryPoints: {
    nanoclaw: 'src/cli/main.ts',
    'whatsapp-format': 'src/channels/whatsapp/format-worker.ts',
  },
  outdir: 'dist',
  splitting: true,
  chunkNames: 'chunk-[name]-[hash]',
  packages: 'external',
};
const hostFile = 'dist/nanoclaw.js';

/** Self-contained: inside the container there is no node_modules to import from. */
const agentRunner = {
  entryPoints: ['container/agent-runner/main.ts'],
  outfile: 'dist/agent-runner.js',
  // CommonJS dependencies call require(), which an ES module does not have.
  banner: {
    js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
  },
};

/** Loaded first by the agent's own Node programs. CommonJS, because `--require` takes nothing else. */
const nodeProxy = {
  entryPoints: ['container/node-proxy.ts'],
  outfile: 'dist/node-proxy.cjs',
  format: 'cjs',
  minify: true,
  sourcemap: false,
};

/** Whether dist/ was made from the sources as they are now. Takes a few milliseconds. */
export function isBuilt(projectDir) {
  const stamp = join(projectDir, 'dist', stampFile);
  if (
    ![hostFile, agentRunner.outfile, nodeProxy.outfile].every((file) =>
      existsSync(join(projectDir, file)),
    )
  ) {
    return false;
  }
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hashSources(projectDir);
}

/** Builds all programs. Throws esbuild's error, whose message names file and line. */
export async function build(projectDir) {
  const hash = hashSources(projectDir);
  const written = await bundle(projectDir, [host, agentRunner, nodeProxy]);
  removeOldChunks(join(projectDir, 'dist'), written);
  const filter = seccompFilter(process.arch);
  if (filter) writeWhole(join(projectDir, 'dist/seccomp.bpf'), filter);
  writeWhole(join(projectDir, 'dist/seccomp.json'), JSON.stringify(seccompProfile()));
  writeWhole(join(projectDir, 'dist', stampFile), hash);
}

/** The benchmark, and the programs with which it measures the agents' way to the web. */
const bench = {
  entryPoints: {
    bench: 'bench/main.ts',
    'bench-host': 'bench/way-out/host.ts',
    'bench-web': 'bench/way-out/web.ts',
    'bench-inside': 'bench/way-out/inside.ts',
    'bench-client': 'bench/way-out/client.ts',
  },
  outdir: 'dist',
  packages: 'external',
};

/** Builds the benchmark, with the parts of the tests that it uses, into dist/bench*.js. */
export async function buildBench(projectDir) {
  await bundle(projectDir, [{ ...bench, plugins: [keepFolders] }]);
}

/** Parts of the tests start programs beside them, so each keeps its own folder in the bundle. */
const keepFolders = {
  name: 'keep-folders',
  setup({ onLoad }) {
    onLoad({ filter: /\/(bench|test)\/.*\.ts$/ }, ({ path }) => {
      const folder = JSON.stringify(dirname(path));
      const contents = readFileSync(path, 'utf8').replaceAll('import.meta.dirname', folder);
      return { contents, loader: 'ts' };
    });
  },
};

async function bundle(projectDir, programs) {
  const esbuild = await import('esbuild');
  mkdirSync(join(projectDir, 'dist'), { recursive: true });
  const written = new Set();
  try {
    for (const program of programs) {
      const { outputFiles } = await esbuild.build({
        absWorkingDir: projectDir,
        bundle: true,
        platform: 'node',
        format: 'esm',
        target: 'node20',
        sourcemap: true,
        ...program,
        write: false,
        logLevel: 'silent',
      });
      for (const { path, contents } of outputFiles) {
        writeWhole(path, contents);
        written.add(path);
      }
    }
    return written;
  } finally {
    await esbuild.stop();
  }
}

function removeOldChunks(distDir, written) {
  for (const name of readdirSync(distDir)) {
    const path = join(distDir, name);
    if (name.startsWith('chunk-') && !written.has(path)) rmSync(path);
  }
}

function writeWhole(path, content) {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

function hashSources(projectDir) {
  const hash = createHash('sha256');
  for (const file of [...sources.flatMap((dir) => listFiles(projectDir, dir)), ...inputs]) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(projectDir, file)))
      .update('\0');
  }
  return hash.digest('hex');
}

/** Files below `dir` in a fixed order, without tests, because no bundle contains them. */
export function listFiles(projectDir, dir) {
  return readdirSync(join(projectDir, dir), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${dir}/${entry.name}`;
      if (entry.isDirectory()) return listFiles(projectDir, path);
      return entry.isFile() && !entry.name.endsWith('.test.ts') ? [path] : [];
    });
}
