/** What the host must reach for its agents: the model API and the web. Makes no request that costs. */
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, isIP } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { type Config, credentialVariables } from '../../config.ts';
import { type Check, type Finding, note, ok } from './finding.ts';

const connectTimeoutMs = 6000;
/** The same as in src/egress/web.ts. */
const lookUp = { timeout: 3000, tries: 2 };

const usualHost = 'api.anthropic.com';

export function wayOutChecks(config: Config): Check[] {
  const baseUrl = new URL(config.model?.baseUrl ?? `https://${usualHost}`);
  return [
    ['credential', () => credential(config)],
    ['model API', () => modelApi(baseUrl)],
    ['name servers', () => nameServers(baseUrl)],
  ];
}

function credential({ model, projectDir }: Config): Finding {
  if (!model)
    return note(
      'none: the demo model would answer, a small script, not Claude',
      'Put ANTHROPIC_API_KEY=... (or CLAUDE_CODE_OAUTH_TOKEN=...) into .env',
    );
  const name = credentialVariables[model.credential.kind];
  const isGiven = Boolean(process.env[name]?.trim());
  return ok(`${name}, from ${isGiven ? 'the environment' : join(projectDir, '.env')}`);
}

/** Connects and, for https, checks the certificate. Makes no request. */
async function modelApi(baseUrl: URL): Promise<Finding> {
  const isTls = baseUrl.protocol === 'https:';
  const host = hostOf(baseUrl);
  const target = { host, port: Number(baseUrl.port || (isTls ? 443 : 80)) };
  const socket = isTls
    ? connectTls({ ...target, servername: isIP(host) ? '' : host })
    : connect(target);
  try {
    const signal = AbortSignal.timeout(connectTimeoutMs);
    await once(socket, isTls ? 'secureConnect' : 'connect', { signal });
    return ok(`${baseUrl.host} answers; the credential was not tried`);
  } catch (error) {
    const { name, message } = error as Error;
    const why =
      name === 'AbortError' ? `nothing within ${connectTimeoutMs / 1000} seconds` : message;
    return note(
      `${baseUrl.host} was not reached (${why})`,
      'Is this machine online, and ANTHROPIC_BASE_URL right? Until then agents wait and try again.',
    );
  } finally {
    socket.on('error', () => {}); // It may fail again while it closes.
    socket.destroy();
  }
}

/** Asks as the agents' web does, which uses neither /etc/hosts nor other name services. */
async function nameServers(baseUrl: URL): Promise<Finding> {
  const isName = !isIP(hostOf(baseUrl)) && baseUrl.hostname !== 'localhost';
  const host = isName ? baseUrl.hostname : usualHost;
  const resolver = new Resolver(lookUp);
  const servers = resolver.getServers().join(', ');
  try {
    await Promise.any([resolver.resolve4(host), resolver.resolve6(host)]);
    return ok(`${servers} knows ${host}`);
  } catch (error) {
    const [reason] = error instanceof AggregateError ? error.errors : [error];
    return note(
      `${servers} does not tell where ${host} is (${reason.code})`,
      'Agents have no web until a server that /etc/resolv.conf names does.',
    );
  }
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}
