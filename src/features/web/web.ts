/** What groups may reach of the web, and the owner's commands about it. */
import type { Feature } from '../../feature.ts';
import { allowCommand, denyCommand, egressCommand, webCommand } from './commands.ts';
import { Policies } from './policy.ts';

export const web: Feature = {
  name: 'web',
  migrations: [
    `
    -- Of groups that have left the default; hosts: a JSON list. A store that was made before
    -- features had numbers has it already.
    CREATE TABLE IF NOT EXISTS web_policies (
      folder TEXT PRIMARY KEY,
      mode TEXT NOT NULL CHECK (mode IN ('open', 'listed', 'none')),
      hosts TEXT NOT NULL
    ) STRICT;
    `,
  ],
  create: (host) => {
    const policies = new Policies(host);
    return {
      commands: [
        egressCommand(host),
        webCommand(host, policies),
        allowCommand(host, policies),
        denyCommand(host, policies),
      ],
      webPolicy: policies,
    };
  },
};
