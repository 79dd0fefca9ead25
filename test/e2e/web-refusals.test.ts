/**
 * Addresses that no agent reaches, whatever its policy. A double listens there and must see nobody.
 */
import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page, redirect } from '../internet/pages.ts';
import { App } from '../support/app.ts';
import { runs, trust } from '../support/browsing.ts';

/** Sends each line of a file to the proxy as it is, and prints the first line of each answer. */
const asker = `
  const { connect } = require('net');
  const { readFileSync } = require('fs');
  (async () => {
    for (const line of JSON.parse(readFileSync('questions.json', 'utf8'))) {
      const socket = connect(8100, '127.0.0.1');
      socket.write(line + ' HTTP/1.1\\r\\nhost: page.example\\r\\nconnection: close\\r\\n\\r\\n');
      let answer = '';
      for await (const bytes of socket) {
        answer += bytes;
        if (answer.includes('\\r\\n')) break;
      }
      console.log(answer.split('\\r\\n')[0].replace('HTTP/1.1 ', ''));
    }
  })();`;

/** Has a program of the agent send the requests. Maps each to the status line that answered it. */
async function ask(app: App, questions: string[]): Promise<Record<string, string>> {
  writeFileSync(app.inGroup('main', 'asker.cjs'), asker);
  writeFileSync(app.inGroup('main', 'questions.json'), JSON.stringify(questions));
  const answers = (await runs(app, 'node asker.cjs')).split('\n');
  return Object.fromEntries(questions.map((question, index) => [question, answers[index] ?? '']));
}

const privateAddresses = [
  '127.0.0.1',
  '10.0.0.1',
  '192.168.1.1',
  '172.16.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '12.0.0.1',
  '::1',
  'fd00::1',
];

/** Starts a public page, and servers at addresses that are off limits. */
async function openInternet() {
  const internet = await Internet.start();
  const host = await internet.host('page.example', page('a page'));
  const options = { addresses: privateAddresses, otherPorts: [22, 8080] };
  const hidden = await internet.host('hidden.example', page('a secret'), options);
  const app = await App.start();
  trust(app, internet);
  return { internet, host, hidden, app };
}

describe('an agent with the whole web never reaches', needsInternet, () => {
  test('this machine, its networks or reserved addresses, however they are written', async () => {
    const { app, hidden } = await openInternet();
    const names = [
      '127.0.0.1',
      '10.0.0.1',
      '192.168.1.1',
      '172.16.0.1',
      '100.64.0.1',
      '169.254.169.254',
      '12.0.0.1',
      '[::1]',
      '[fd00::1]',
      '[fe80::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
      '[64:ff9b::7f00:1]',
      '[2002:7f00:1::]',
      '0.0.0.0',
      '[::]',
      '0',
      '2130706433',
      '0x7f000001',
      '0x7f.1',
      '0177.0.0.1',
      '127.1',
      '017700000001',
      '10.1',
      '127.0.0.1.',
      '255.255.255.255',
      '224.0.0.1',
      '[ff02::1]',
      '192.0.2.1',
      '198.18.0.1',
    ];
    const answers = await ask(app, [
      ...names.map((name) => `GET http://${name}/`),
      ...names.map((name) => `CONNECT ${name}:443`),
    ]);
    const refused = /^403 \S+ is not on the public web\.$/;
    expect(Object.entries(answers).filter(([, answer]) => !refused.test(answer))).toEqual([]);
    expect(hidden.traffic.connections).toBe(0);
  });

  test('names that resolve to such addresses', async () => {
    const { internet, app, hidden } = await openInternet();
    internet.names.declare('inside.example', ['10.0.0.1', 'fd00::1']);
    internet.names.declare('alias.example', { alias: 'inside.example' });
    const answers = await ask(app, [
      ...['hidden.example', 'inside.example', 'alias.example', 'inside.example.'].flatMap(
        (name) => [`GET http://${name}/`, `CONNECT ${name}:443`],
      ),
      'GET http://localhost/',
      'CONNECT localhost:80',
      'GET http://inside.example../',
    ]);
    expect(answers).toEqual({
      'GET http://hidden.example/': '403 hidden.example is not on the public web.',
      'CONNECT hidden.example:443': '403 hidden.example is not on the public web.',
      'GET http://inside.example/': '403 inside.example is not on the public web.',
      'CONNECT inside.example:443': '403 inside.example is not on the public web.',
      'GET http://alias.example/': '403 alias.example is not on the public web.',
      'CONNECT alias.example:443': '403 alias.example is not on the public web.',
      'GET http://inside.example./': '403 inside.example is not on the public web.',
      'CONNECT inside.example.:443': '403 inside.example is not on the public web.',
      'GET http://localhost/': '502 localhost was not found.',
      'CONNECT localhost:80': '502 localhost was not found.',
      'GET http://inside.example../': '403 inside.example is not on the public web.',
    });
    expect(hidden.traffic.connections).toBe(0);
  });

  test('the private address of a name that also has a public one', async () => {
    const { internet, app, hidden } = await openInternet();
    const both = await internet.host('both.example', page('both'), {
      addresses: ['11.0.0.50'],
      replies: [['10.0.0.1', '11.0.0.50', '::1']],
    });
    expect(await runs(app, 'for i in 1 2 3; do curl -s http://both.example/; done')).toBe(
      'bothbothboth',
    );
    expect(both.traffic.connections).toBe(3);
    expect(hidden.traffic.connections).toBe(0);
  });

  test('the address to which a name is rebound after it was checked', async () => {
    const { internet, app, hidden } = await openInternet();
    const options = { addresses: ['11.0.0.50'] };
    const host = await internet.host('rebound.example', page('once'), options);
    internet.names.declare('rebound.example', ['11.0.0.50'], ['127.0.0.1']);
    expect(await ask(app, Array(2).fill('GET http://rebound.example/'))).toEqual({
      'GET http://rebound.example/': '403 rebound.example is not on the public web.',
    });
    expect(host.traffic.connections).toBe(1);
    expect(internet.names.queries.filter((query) => query === 'A rebound.example')).toHaveLength(2);
    expect(hidden.traffic.connections).toBe(0);
  });

  test('the target of a redirect by a public host', async () => {
    const { internet, app, hidden } = await openInternet();
    const targets = privateAddresses.map((address) =>
      address.includes(':') ? `[${address}]` : address,
    );
    const traps = targets.map((target, index) => [`/${index}`, redirect(`http://${target}/`)]);
    const trap = await internet.host('trap.example', Object.fromEntries(traps));
    const said = await runs(
      app,
      `for i in $(seq 0 ${traps.length - 1}); do
         curl --noproxy '' -sSL http://trap.example/$i
         curl --noproxy '' -sSL https://trap.example/$i
       done`,
    );
    expect(said.trim().split('\n')).toEqual(
      targets.flatMap((target) =>
        Array(2).fill(`${target.replace(/[[\]]/g, '')} is not on the public web.`),
      ),
    );
    expect(trap.traffic.connections).toBe(2 * targets.length);
    expect(hidden.traffic.connections).toBe(0);
  });

  test('other ports, on this machine or elsewhere', async () => {
    const { internet, app, hidden } = await openInternet();
    const options = { otherPorts: [22, 8080] };
    const busy = await internet.host('busy.example', page('busy'), options);
    const { port } = new URL(app.model.url);
    const callsBefore = app.model.calls.length;
    const questions = ['busy.example', '127.0.0.1', '11.0.0.3'].flatMap((name) =>
      [22, 0, 81, 8080, 8443, 65535, port].flatMap((number) => [
        `GET http://${name}:${number}/`,
        `CONNECT ${name}:${number}`,
      ]),
    );
    const answers = new Set(Object.values(await ask(app, questions)));
    expect([...answers]).toEqual(['403 Of the web, only the ports 80 and 443 can be reached.']);
    expect(busy.traffic.connections).toBe(0);
    expect(hidden.traffic.connections).toBe(0);
    // What is left are the agent's own calls of the model.
    expect(app.model.calls.length - callsBefore).toBe(2);
  });

  test('anything by a request that proxy and server read differently', async () => {
    const { app, host, hidden } = await openInternet();
    const refused = {
      '403 10.0.0.1 is not on the public web.': [
        'GET http://user:pass@10.0.0.1/',
        'GET http://page.example@10.0.0.1/',
        'GET http://page.example:80@10.0.0.1/',
        'GET http:///10.0.0.1/',
        'GET http://%31%30.0.0.1/',
      ],
      '400 That is no host and port.': [
        'CONNECT user:pass@10.0.0.1:443',
        'CONNECT page.example@10.0.0.1:443',
        'CONNECT http://10.0.0.1/',
        'CONNECT page.example:443/',
        'CONNECT page.example:443:443',
        'CONNECT page.example:99999',
        'CONNECT :443',
        'CONNECT [::1',
        'CONNECT [::1%25lo]:443',
        'CONNECT /v1/messages',
        'CONNECT *',
      ],
      '400 Here go http: addresses; for https: ask with CONNECT.': [
        'GET https://page.example/',
        'GET https://10.0.0.1/',
        'GET ftp://10.0.0.1/',
        'GET file:///etc/passwd',
        'OPTIONS *',
      ],
      '403 Forbidden': ['GET /', 'GET //10.0.0.1/'],
      '400 This is no proper request.': [
        'GET http://page.example#@10.0.0.1/',
        'GET http://page.example\\@10.0.0.1/',
        'GET http:10.0.0.1/',
        'GET HTTP:\\\\10.0.0.1/',
        'GET page.example',
        'GET http://10。0。0。1/',
        'CONNECT page.example:443\\@10.0.0.1:80',
        'CONNECT \u00001',
      ],
    };
    const answers = await ask(app, Object.values(refused).flat());
    for (const [answer, questions] of Object.entries(refused))
      for (const question of questions)
        expect([question, answers[question]]).toEqual([question, answer]);
    expect(host.traffic.connections).toBe(0);
    expect(hidden.traffic.connections).toBe(0);
  });
});
