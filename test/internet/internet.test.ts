/** The internet of the tests as Node, curl, git, npm and pip see it. */
import { execFile, spawnSync } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Internet, needsInternet } from './internet.ts';
import { page, redirect, silence, sink, slow, zeros } from './pages.ts';
import { gitRepository, npmRegistry, pythonIndex, trusting } from './registries.ts';
import type { WebHost } from './web-host.ts';

const runProgram = promisify(execFile);
/** nss-resolve asks systemd through a socket, which stays reachable in a network namespace. */
const nameServices = '/etc/nsswitch.conf';
const asksNameServers =
  !existsSync(nameServices) || !/^hosts:.*\bresolve\b/m.test(readFileSync(nameServices, 'utf8'));
const needsNameServers = asksNameServers ? needsInternet : { skip: true };
const hasPip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;

describe('names', needsInternet, () => {
  test('lead to the addresses of their hosts, in both families', async () => {
    const internet = await Internet.start();
    const one = await internet.host('one.example', page('one'));
    const two = await internet.host('two.example', page('two'));
    const resolver = new Resolver();
    expect(await resolver.resolve4('one.example')).toEqual([one.addresses[0]]);
    expect(await resolver.resolve6('two.example')).toEqual([two.addresses[1]]);
    expect(internet.names.queries).toEqual(['A one.example', 'AAAA two.example']);
  });

  test('can be rebound between two queries', async () => {
    const { names } = await Internet.start();
    names.declare('rebound.example', ['11.0.0.1'], ['127.0.0.1', '::1']);
    const resolver = new Resolver();
    expect(await resolver.resolve4('rebound.example')).toEqual(['11.0.0.1']);
    expect(await resolver.resolve4('rebound.example')).toEqual(['127.0.0.1']);
    expect(await resolver.resolve4('rebound.example')).toEqual(['127.0.0.1']);
    await expect(resolver.resolve6('rebound.example')).rejects.toThrow('ENODATA');
    expect(await resolver.resolve6('rebound.example')).toEqual(['::1']);
  });

  test('can be aliases, unknown, or without an answer', async () => {
    const { names } = await Internet.start();
    names.declare('alias.example', { alias: 'real.example' });
    names.declare('real.example', ['10.0.0.1']);
    names.declare('lost.example', 'unknown');
    names.declare('silent.example', 'silence');
    const resolver = new Resolver({ timeout: 50, tries: 1 });
    expect(await resolver.resolve4('alias.example')).toEqual(['10.0.0.1']);
    expect(await resolver.resolveCname('alias.example')).toEqual(['real.example']);
    await expect(resolver.resolve4('lost.example')).rejects.toThrow('ENOTFOUND');
    await expect(resolver.resolve4('undeclared.example')).rejects.toThrow('ENOTFOUND');
    await expect(resolver.resolve4('silent.example')).rejects.toThrow('ETIMEOUT');
    expect(names.queries.at(-1)).toBe('A silent.example');
  });
});

describe('web hosts', needsNameServers, () => {
  test('answer by HTTP, and by HTTPS to clients that trust the authority', async () => {
    const internet = await Internet.start();
    const host = await internet.host('shop.example', {
      '/': page('hello\n'),
      '/below/*': page('below\n'),
    });
    expect(await curl(internet, 'http://shop.example/')).toBe('hello\n');
    expect(await curl(internet, 'https://shop.example/below/a?b=c')).toBe('below\n');
    expect(await curl(internet, 'https://shop.example/nothing')).toBe('nothing here\n');
    expect(host.requests.map(({ scheme, path }) => `${scheme} ${path}`)).toEqual([
      'http /',
      'https /below/a?b=c',
      'https /nothing',
    ]);
    const distrustful = ['-sS', 'https://shop.example/'];
    await expect(output('curl', distrustful, { env: {} })).rejects.toThrow(/certificate/);
  });

  test('can redirect anywhere, also to private addresses', async () => {
    const internet = await Internet.start();
    const metadata = await internet.host('metadata.example', page('secret\n'), {
      addresses: ['169.254.169.254'],
    });
    await internet.host('trap.example', redirect('http://169.254.169.254/latest'));
    expect(await curl(internet, '-L', 'http://trap.example/')).toBe('secret\n');
    expect(metadata.requests.map(({ path }) => path)).toEqual(['/latest']);
  });

  test('count the bytes of their connections exactly as a proxy between does', async () => {
    const internet = await Internet.start();
    const host = await internet.host('big.example', {
      '/zeros': zeros(3_000_000),
      '/sink': sink(),
    });
    const plain = await relayTo(host, 80);
    const secure = await relayTo(host, 443);
    const upload = join(internet.dir, 'upload');
    writeFileSync(upload, Buffer.alloc(1_000_000));
    const post = ['--data-binary', `@${upload}`];
    await curl(internet, '-o', '/dev/null', ...plain.options, 'http://big.example/zeros');
    await curl(internet, ...plain.options, ...post, 'http://big.example/sink');
    await curl(internet, '-o', '/dev/null', ...secure.options, 'https://big.example/zeros');
    await curl(internet, ...secure.options, ...post, 'https://big.example/sink');
    const { bytesUp, bytesDown, connections, requests } = await host.settledTraffic();
    await Promise.all([plain.closed(), secure.closed()]);
    expect({ bytesUp, bytesDown }).toEqual({
      bytesUp: plain.counted.up + secure.counted.up,
      bytesDown: plain.counted.down + secure.counted.down,
    });
    expect({ connections, requests }).toEqual({ connections: 4, requests: 4 });
    expect(bytesDown).toBeGreaterThan(6_000_000);
    expect(bytesUp).toBeGreaterThan(2_000_000);
  });

  test('may be slow, or never answer', async () => {
    const internet = await Internet.start();
    let finish: (text: string) => void = () => {};
    const late = new Promise<string>((resolve) => {
      finish = resolve;
    });
    const host = await internet.host('slow.example', { '/slow': slow(late), '/never': silence() });
    const response = await fetch('http://slow.example/slow');
    finish('at last');
    expect(await response.text()).toBe('at last');
    const aborted = fetch('http://slow.example/never', { signal: AbortSignal.timeout(100) });
    await expect(aborted).rejects.toThrow();
    expect(host.requests).toHaveLength(2);
  });
});

describe('package managers and git', needsNameServers, () => {
  test('find a repository', async () => {
    const internet = await Internet.start();
    const host = await internet.host('github.com', await gitRepository(internet.dir, 'tiny'));
    const clone = join(internet.dir, 'clone');
    await output('git', ['clone', '--quiet', 'https://github.com/tiny.git', clone], {
      env: clientEnvironment(internet),
    });
    expect(readFileSync(join(clone, 'README'), 'utf8')).toBe('cloned\n');
    expect(host.traffic.requests).toBeGreaterThan(1);
  });

  test('find a package of npm', async () => {
    const internet = await Internet.start();
    const name = 'registry.npmjs.org';
    await internet.host(name, await npmRegistry(internet.dir, name));
    const project = join(internet.dir, 'project');
    mkdirSync(project);
    await output('npm', ['install', '--no-audit', 'tiny'], {
      cwd: project,
      env: {
        ...clientEnvironment(internet),
        npm_config_registry: `https://${name}/`,
        npm_config_globalconfig: join(internet.dir, 'global-npmrc'),
      },
    });
    const said = await output(process.execPath, ['-p', 'require("tiny")'], { cwd: project });
    expect(said).toBe('tiny\n');
  });

  test.runIf(hasPip)('find a package of pip', async () => {
    const internet = await Internet.start();
    const python = pythonIndex('files.pythonhosted.org');
    await internet.host('pypi.org', python.index);
    const host = await internet.host('files.pythonhosted.org', python.files);
    const target = join(internet.dir, 'target');
    const env = { ...clientEnvironment(internet), PIP_CONFIG_FILE: '/dev/null' };
    const options = ['--disable-pip-version-check', '--quiet'];
    const install = ['-m', 'pip', ...options, 'install', '--target', target, 'tiny'];
    await output('python3', install, { env });
    const said = await output('python3', ['-c', 'import tiny; print(tiny.name)'], {
      env: { ...env, PYTHONPATH: target },
    });
    expect(said).toBe('tiny\n');
    expect(host.traffic.requests).toBe(1);
  });
});

function curl(internet: Internet, ...options: string[]): Promise<string> {
  return output('curl', ['-sS', ...options], { env: clientEnvironment(internet) });
}

/** An environment without the proxies and settings of the person who runs the tests. */
function clientEnvironment(internet: Internet): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: internet.dir, ...trusting(internet.authorityFile) };
}

async function output(
  program: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return (await runProgram(program, args, options)).stdout;
}

/**
 * Passes connections on to a host, counting, and cuts them when the client has left; its `options`
 * lead curl through it.
 */
async function relayTo(host: WebHost, port: number) {
  const counted = { up: 0, down: 0 };
  const closes: Promise<unknown>[] = [];
  const server = createServer((inward) => {
    const outward = connect(port, host.addresses[0]);
    closes.push(once(inward, 'close'), once(outward, 'close'));
    inward.on('data', (chunk) => {
      counted.up += chunk.length;
    });
    outward.on('data', (chunk) => {
      counted.down += chunk.length;
    });
    inward.pipe(outward, { end: false }).pipe(inward);
    inward.once('end', () => outward.destroySoon());
  });
  server.listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const options = ['--connect-to', `${host.name}:${port}:127.0.0.1:${address.port}`];
  return { counted, options, closed: () => Promise.all(closes) };
}
