/** The ledger equals what the servers saw, to the byte, by group and turn, and after a kill. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deferred } from '../../src/deferred.ts';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page, sink, zeros } from '../internet/pages.ts';
import { gitRepository } from '../internet/registries.ts';
import type { WebHost } from '../internet/web-host.ts';
import { startScriptedModel } from '../scripted-model/scripted-model.ts';
import { App } from '../support/app.ts';
import { runs, trust } from '../support/browsing.ts';
import { queryRows } from '../support/database.ts';
import { HostProcess } from '../support/host-process.ts';
import { TestTerminal } from '../support/terminal.ts';

/** The lines of the host's report, totals first. */
async function egress(app: App, group = 'main'): Promise<string[]> {
  const person = await app.attach(group);
  await person.say('/egress');
  const isReport = ({ text }: { text: string }) => text.startsWith('Today: ');
  const report = await person.until(() => person.delivered.find(isReport), 'the report');
  person.leave();
  return report.text.split('\n');
}

/** A server's traffic in the form of the ledger. */
async function seenBy(host: WebHost) {
  const { connections, bytesUp, bytesDown } = await host.settledTraffic();
  return { host: host.name, requests: connections, bytes_up: bytesUp, bytes_down: bytesDown };
}

const sums =
  'SELECT host, sum(requests) AS requests, sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down';

describe('the ledger', needsInternet, () => {
  test('holds exactly what the servers saw', async () => {
    const internet = await Internet.start();
    const site = { '/': page('a page'), '/zeros': zeros(3_000_000), '/sink': sink() };
    const one = await internet.host('one.example', site);
    const two = await internet.host('two.example', site);
    const git = await internet.host('github.com', await gitRepository(internet.dir, 'tiny'));
    const app = await App.start();
    trust(app, internet);
    await runs(
      app,
      `head -c 1000000 /dev/zero > upload
       curl -sS http://one.example/ http://one.example/ https://two.example/ https://two.example/
       for url in http://one.example https://two.example; do
         curl -sS -o /dev/null $url/zeros
         curl -sS --data-binary @upload $url/sink
         curl -sS -H 'transfer-encoding: chunked' --data-binary @upload $url/sink
         node -e "fetch('$url').then((r) => r.text()).then(console.log)"
       done
       git clone --quiet https://github.com/tiny.git clone`,
    );
    const seen = await Promise.all([git, one, two].map(seenBy));
    const [totals, ...lines] = await egress(app);
    const recorded = app.rows(`${sums} FROM ledger WHERE host NOT LIKE '127.%' GROUP BY host`);
    expect(recorded).toEqual(seen);
    const apiHost = new URL(app.model.url).host;
    const calls = app.model.calls.length;
    expect(lines.find((line) => line.startsWith(`- main: ${apiHost}, `))).toContain(
      ` ${calls} requests, `,
    );
    const requests = seen.reduce((total, host) => total + host.requests, calls);
    expect(totals).toContain(`Today: 4 hosts, ${requests} requests, `);
    expect(totals).toMatch(/, 4\.\d MB sent, 6\.\d MB received; 0 hosts refused\.$/);
    expect(lines).toHaveLength(4);
    expect(seen.every((host) => host.bytes_down > 0 && host.bytes_up > 0)).toBe(true);
  });

  test('separates turns and groups, and records refusals', async () => {
    const internet = await Internet.start();
    await internet.host('en.wikipedia.org', page('an article'));
    const app = await App.start();
    await runs(app, 'curl -s http://en.wikipedia.org/');
    await runs(
      app,
      'curl -s http://en.wikipedia.org/ http://10.0.0.1/ http://en.wikipedia.org:22/',
    );
    const visits = 'for i in 1 2 3; do curl -s http://shop.example/; done';
    await runs(app, `curl -s http://en.wikipedia.org/; ${visits}`, 'family');
    const [totals, ...lines] = await egress(app);
    const of = ' FROM ledger WHERE host NOT LIKE ';
    const rows = app.rows(
      `SELECT turn_id, folder, host, allowed, requests ${of} '127.%' ORDER BY turn_id, host, allowed`,
    );
    const [first, second, third] = app
      .rows('SELECT id FROM turns ORDER BY id')
      .map((row) => (row as { id: number }).id);
    const wiki = { host: 'en.wikipedia.org', allowed: 1, requests: 1 };
    expect(rows).toEqual([
      { turn_id: first, folder: 'main', ...wiki },
      { turn_id: second, folder: 'main', host: '10.0.0.1', allowed: 0, requests: 1 },
      { turn_id: second, folder: 'main', ...wiki, allowed: 0 },
      { turn_id: second, folder: 'main', ...wiki },
      { turn_id: third, folder: 'family', ...wiki },
      { turn_id: third, folder: 'family', host: 'shop.example', allowed: 0, requests: 3 },
    ]);
    expect(totals).toMatch(/^Today: 2 hosts, .*; 3 hosts refused\.$/);
    expect(lines).toContain('- family: shop.example refused, 3 times');
    expect(lines.some((line) => line.startsWith('- main: en.wikipedia.org, 2 requests'))).toBe(
      true,
    );

    const [ofFamily, ...linesOfFamily] = await egress(app, 'family');
    expect(ofFamily).toMatch(/^Today: 2 hosts, .*; 1 host refused\.$/);
    expect(linesOfFamily).toHaveLength(3);
    expect(linesOfFamily.join()).not.toContain('- main');
  });

  test('records a host before its first byte, so that a crash does not lose it', async () => {
    const internet = await Internet.start();
    const asked = deferred<void>();
    await internet.host('page.example', () => asked.resolve());
    const model = await startScriptedModel();
    const home = mkdtempSync(join(tmpdir(), 'nanoclaw-ledger-'));
    const environment = { ANTHROPIC_API_KEY: 'a-key', ANTHROPIC_BASE_URL: model.url };
    const host = new HostProcess({ ...environment, NANOCLAW_HOME: home });
    onTestFinished(async () => {
      await host.kill();
      await model.close();
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    });
    model.on('visit').callTool('Bash', { command: 'curl -s http://page.example/' });
    await host.says(/listening|state /);
    const person = await TestTerminal.attach(join(home, 'data', 'nanoclaw.sock'));
    await person.say('visit');
    await asked.promise;
    await host.kill();
    const rows = queryRows(
      join(home, 'store', 'nanoclaw.db'),
      'SELECT folder, turn_id, host, allowed FROM ledger ORDER BY host',
    );
    const known = { folder: 'main', turn_id: 1, allowed: 1 };
    expect(rows).toEqual([
      { ...known, host: new URL(model.url).host },
      { ...known, host: 'page.example' },
    ]);
  });
});
