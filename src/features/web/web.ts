/** What groups may reach of the web, and the owner's commands about it. */
import { listAgents } from '../../db/agents.ts';
import type { Feature } from '../../feature.ts';
import { settle } from '../../outcome.ts';
import { allowCommand, checkedHost, denyCommand, egressCommand, webCommand } from './commands.ts';
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
    `
    CREATE TRIGGER web_policies_end AFTER DELETE ON groups BEGIN
      DELETE FROM web_policies WHERE folder = old.folder;
    END;
    `,
  ],
  create: (host) => {
    const { store, approvals, owner } = host;
    const policies = new Policies(host);
    const allow = allowCommand(host, policies);
    return {
      commands: [
        egressCommand(host),
        webCommand(host, policies),
        allow,
        denyCommand(host, policies),
      ],
      reach: (group) => [`Web: ${policies.of(group).mode}.`],
      webPolicy: {
        objection: (group, name) => policies.objection(group, name),
        refused: (group, name) => {
          const { folder } = group;
          const [own] = listAgents(store, folder);
          if (!own || policies.of(group).mode !== 'listed') return;
          const ask = () => approvals.ask(own.id, allow, { folder, host: checkedHost(name) });
          if (settle(store, () => ({ commit: ask })).ok) return;
          const text = `The agent of "${folder}" was refused hosts for which you are not asked. /egress lists them.`;
          owner.tell(text, { key: `web ${folder}` });
        },
      },
    };
  },
};
