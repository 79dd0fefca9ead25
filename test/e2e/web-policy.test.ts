/** The owner's decisions about the web apply at once, and agent and owner are told of refusals. */
import { describe, expect, test } from 'vitest';
import { deferred } from '../../src/deferred.ts';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page } from '../internet/pages.ts';
import { pythonIndex } from '../internet/registries.ts';
import { App } from '../support/app.ts';
import { runs, trust } from '../support/browsing.ts';
import { alice, assistant, family, LinkedHost, owner } from '../support/linked-host.ts';

const refusal =
  'shop.example is not among the hosts that this group may reach. The owner can allow it in the main chat: /allow shop.example family';
const request =
  /^Request 1: the agent "family" asks you to let "family" reach "shop\.example"\.\nReply ok or no to this message/;

describe('a group’s way to the web', needsInternet, () => {
  /** Starts a host that is on the useful list, one that is not, and the owner in the main chat. */
  async function openGroup() {
    const internet = await Internet.start();
    const wiki = await internet.host('en.wikipedia.org', page('an article'));
    const shop = await internet.host('shop.example', page('a shop'));
    const app = await App.start();
    await app.attach('family'); // This opens the group.
    trust(app, internet, 'family');
    const me = await app.attach();
    const asks = async (words: string) => {
      await me.say(words);
      return me.nextText();
    };
    return { internet, wiki, shop, app, me, asks };
  }

  test('reaches the useful hosts; others are refused until the owner allows them', async () => {
    const { app, me, asks, wiki, shop, internet } = await openGroup();
    const visit = 'curl -sS https://en.wikipedia.org/; echo; curl -sS http://shop.example/';
    expect(await runs(app, visit, 'family')).toBe(`an article\n${refusal}`);
    const inTunnel = await runs(app, 'curl -vsS https://shop.example/', 'family');
    expect(inTunnel).toContain(`< HTTP/1.1 403 ${refusal}`);
    expect(await me.nextText()).toMatch(request);
    expect(shop.traffic.connections).toBe(0);
    expect(internet.names.queries.filter((query) => query.includes('shop'))).toEqual([]);
    expect(wiki.traffic.connections).toBe(1);

    app.model.on('is approved').reply('<internal>good</internal>');
    expect(await asks('/approve 1')).toBe('family may reach shop.example from now on.');
    expect(await runs(app, visit, 'family')).toBe('an article\na shop');
    expect(await runs(app, 'curl -sS https://shop.example/', 'family')).toBe('a shop');

    expect(await asks('/deny shop.example family')).toBe(
      'family may not reach shop.example any more.',
    );
    expect(await runs(app, 'curl -sS http://shop.example/', 'family')).toBe(refusal);
    expect(shop.traffic.connections).toBe(2);
  });

  test('is refused with a reason that pip, Node and the tool of claude show', async () => {
    const { app, internet, shop } = await openGroup();
    await internet.host('pypi.org', pythonIndex('shop.example').index);
    const said = await runs(
      app,
      `python3 -m pip download --disable-pip-version-check --retries 0 tiny |& tail -1
       node -e "require('https').get('https://shop.example/', (r) => r.pipe(process.stdout))"
       node -e "fetch('https://shop.example/').catch((e) => console.log(e.cause.cause.message))"`,
      'family',
    );
    const [pip, https, fetch] = said.split('\n').filter(Boolean);
    expect(pip).toContain(`Tunnel connection failed: 403 ${refusal}`);
    expect(https).toBe(refusal);
    // `fetch` keeps only the status of a proxy's answer.
    expect(fetch).toBe('Proxy response (403) !== 200 when HTTP Tunneling');
    const input = { url: 'https://shop.example/', prompt: 'What is new?' };
    app.model
      .on('what is new')
      .callTool('WebFetch', input)
      .thenReply((result) => result);
    const person = await app.attach('family');
    await person.say('@Andy what is new');
    // The agent's instructions explain the status, and the host tells the owner.
    expect(await person.nextText()).toBe('proxy refused the connection');
    expect(shop.traffic.connections).toBe(0);
  });

  test('can be closed and opened, also during a download', async () => {
    const { app, asks, internet } = await openGroup();
    const asked = deferred<void>();
    await internet.host('pypi.org', (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('the beginning');
      asked.resolve();
    });
    const cut = runs(app, 'curl -sS -o /dev/null http://pypi.org/; echo $?', 'family');
    await asked.promise;
    expect(await asks('/web family none')).toBe('From now on family: none');
    expect(await cut).toMatch(/curl: \((18|56)\) .*\n(18|56)$/);
    expect(await runs(app, 'curl -sS http://en.wikipedia.org/', 'family')).toBe(
      'This group has no access to the web. The owner can give it in the main chat: /web family listed',
    );
    expect(await asks('/web family open')).toBe('From now on family: open');
    expect(await runs(app, 'curl -sS http://shop.example/', 'family')).toBe('a shop');
    expect(await asks('/web')).toBe('main: open\nfamily: open');
  });

  test('is decided in the main chat only', async () => {
    const { app } = await openGroup();
    const person = await app.attach('family');
    for (const command of ['/allow shop.example family', '/web family open', '/deny pypi.org']) {
      await person.say(command);
      expect(await person.nextText()).toMatch(/works in the main chat only\.$/);
    }
    expect(app.rows('SELECT * FROM web_policies')).toEqual([]);
  });

  test('is opened by a one-word reply on WhatsApp', async () => {
    const internet = await Internet.start();
    await internet.host('www.shop.example', page('a shop'));
    const host2 = await LinkedHost.start({ withGroup: true });
    const { server, model } = host2;
    const command = 'curl -sS http://www.shop.example/';
    model
      .on('visit')
      .callTool('Bash', { command })
      .thenReply((result) => `It says: ${result}`);
    await server.sayInGroup(alice.number, family, '@Andy visit the shop');
    const { id } = await server.hears(owner.number, { text: 'reach "www.shop.example"' });
    await server.hears(alice.number, { text: 'It says: .*not among the hosts' });
    // The agent is told, and goes on with what it could not do.
    model
      .on('is approved')
      .callTool('Bash', { command })
      .thenReply((result) => `Now it says: ${result}`);
    const quote = { messageId: id, participant: `${assistant.lid}@lid`, text: 'anything' };
    await server.say(owner.number, { kind: 'text', text: 'ok', quote });
    await server.hears(owner.number, { text: 'family may reach www.shop.example from now on' });
    await server.hears(alice.number, { text: 'Now it says: a shop' });
  });
});
