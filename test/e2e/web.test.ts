/**
 * The way to the web with a real agent, container, wire and host; only the internet is a double.
 */
import { describe, expect, test } from 'vitest';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page } from '../internet/pages.ts';
import { gitRepository, npmRegistry, pythonIndex } from '../internet/registries.ts';
import { App } from '../support/app.ts';
import { runs, trust } from '../support/browsing.ts';

describe('an agent with the web', needsInternet, () => {
  /** Starts one public page and an agent that trusts its certificate. */
  async function openPage() {
    const internet = await Internet.start();
    const host = await internet.host('page.example', page('a page'));
    const app = await App.start();
    trust(app, internet);
    return { internet, host, app };
  }
  const asked = ({ requests }: { requests: { scheme: string; path: string }[] }) =>
    requests.map(({ scheme, path }) => `${scheme} ${path}`);

  test('reads pages with curl, which checks certificates', async () => {
    const { host, app } = await openPage();
    const said = await runs(
      app,
      `curl -sS http://page.example/1; echo; curl -sS https://page.example/2; echo
       env -u CURL_CA_BUNDLE curl -sS https://page.example/3`,
    );
    expect(said).toMatch(/^a page\na page\ncurl: \(60\) SSL certificate problem/);
    expect(asked(host)).toEqual(['http /1', 'https /2']);
  });

  test('reads pages with each HTTP client of Node', async () => {
    const { host, app } = await openPage();
    const said = await runs(
      app,
      `node -e "fetch('https://page.example/1').then((r) => r.text()).then(console.log)"
       node -e "fetch('http://page.example/2').then((r) => r.text()).then(console.log)"
       node -e "require('https').get('https://page.example/3', (r) => r.pipe(process.stdout))"
       echo
       node -e "require('http').get('http://page.example/4', (r) => r.pipe(process.stdout))"
       echo
       node --input-type=module -e "import { get } from 'node:https'; get('https://page.example/5', (r) => r.pipe(process.stdout))"
       echo
       env -u NODE_EXTRA_CA_CERTS node -e "fetch('https://page.example/6').catch((e) => console.log(e.cause.message))"
       env -u NODE_EXTRA_CA_CERTS node -e "require('https').get('https://page.example/7').on('error', (e) => console.log(e.message))"`,
    );
    const distrust = 'unable to verify the first certificate';
    expect(said.trim().split('\n')).toEqual([...Array(5).fill('a page'), distrust, distrust]);
    const paths = ['https /1', 'http /2', 'https /3', 'http /4', 'https /5'];
    expect(asked(host)).toEqual(paths);
  });

  test('reads pages with Python', async () => {
    const { host, app } = await openPage();
    const said = await runs(
      app,
      `python3 - <<'END'
import ssl, urllib.request as r
print(r.urlopen('http://page.example/1').read().decode())
print(r.urlopen('https://page.example/2', context=ssl.create_default_context(cafile='authority.pem')).read().decode())
try: r.urlopen('https://page.example/3')
except Exception as e: print(e)
END`,
    );
    expect(said).toMatch(/^a page\na page\n.*CERTIFICATE_VERIFY_FAILED/);
    expect(asked(host)).toEqual(['http /1', 'https /2']);
  });

  test('reads pages with the tool of claude: the text reaches the model', async () => {
    const { host, app } = await openPage();
    const input = { url: 'https://page.example/news', prompt: 'What is new?' };
    app.model
      .on('what is new')
      .callTool('WebFetch', input)
      .thenReply((result) => result);
    app.model.on('Web page content').reply('nothing is new');
    const person = await app.attach();
    await person.say('what is new');
    expect(await person.nextText()).toBe('nothing is new');
    const { said } = await app.model.call('Web page content');
    expect(said).toContain('---\na page\n---');
    expect(said).toContain('What is new?');
    expect(asked(host)).toEqual(['https /news']);
  });

  test('clones, and installs packages of npm and pip', async () => {
    const internet = await Internet.start();
    await internet.host('github.com', await gitRepository(internet.dir, 'tiny'));
    const npm = 'registry.npmjs.org';
    await internet.host(npm, await npmRegistry(internet.dir, npm));
    const python = pythonIndex('files.pythonhosted.org');
    await internet.host('pypi.org', python.index);
    await internet.host('files.pythonhosted.org', python.files);
    const app = await App.start();
    trust(app, internet);
    const said = await runs(
      app,
      `git clone --quiet https://github.com/tiny.git clone; cat clone/README
       mkdir project; cd project; npm install --silent tiny; node -p 'require("tiny")'
       python3 -m pip install --quiet --disable-pip-version-check --target python tiny
       PYTHONPATH=python python3 -c 'import tiny; print(tiny.name)'
       python3 -m pip download --quiet --disable-pip-version-check --dest wheels tiny; ls wheels`,
    );
    expect(said).toBe('cloned\ntiny\ntiny\ntiny-1.0.0-py3-none-any.whl');
  });

  test('reaches its own servers on loopback directly', async () => {
    const { app } = await openPage();
    const said = await runs(
      app,
      `cat > own.js <<'END'
const http = require('http');
const server = http.createServer((q, r) => r.end('own ' + (q.headers.via ?? 'direct') + ' ' + q.url));
server.listen(3000, '127.0.0.1', async () => {
  console.log(await (await fetch('http://127.0.0.1:3000/fetch')).text());
  http.get('http://localhost:3000/http', (r) => r.pipe(process.stdout).on('close', () => {}) && r.on('end', () => server.close()));
});
END
       node own.js`,
    );
    expect(said.trim()).toBe('own direct /fetch\nown direct /http');
    expect(app.rows("SELECT host FROM ledger WHERE host NOT LIKE '127.0.0.1:%'")).toEqual([]);
  });
});
