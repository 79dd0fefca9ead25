/** The commands /mount and /unmount, with which the owner lends folders to groups. */
import type { Command } from '../../commands.ts';
import { listAgents } from '../../db/agents.ts';
import type { FeatureHost } from '../../feature.ts';
import { UserError } from '../../types.ts';
import { type Grant, grantFolder, listGrants, revokeFolder } from './extra-mounts.ts';

type Host = Pick<FeatureHost, 'config' | 'store' | 'work'>;

/** Null lists the folders that are lent. */
export function mountCommand(host: Host): Command<Grant | null> {
  return {
    name: '/mount',
    takes: '[GROUP FOLDER... [rw]]',
    help: 'which folders of yours the groups see; with a folder, let a group see it',
    who: 'main',
    parse: ([folder, ...path]) => {
      if (folder === undefined) return null;
      if (path.length === 0)
        throw new UserError('Name a group and a folder, such as: /mount family ~/Documents');
      const readOnly = path.at(-1) !== 'rw';
      if (!readOnly) path.pop();
      return { folder, path: path.join(' '), readOnly };
    },
    describe: (grant) =>
      grant
        ? `let ${grant.folder} ${grant.readOnly ? 'read' : 'read and write'} ${grant.path}`
        : 'list the folders that are lent',
    apply: (grant) => ({
      commit: () => {
        if (!grant) return listGrants(host).join('\n') || 'No group sees a folder of yours.';
        // An agent at work is not interrupted: it sees the folder in its next container.
        restart(host, grant.folder, false);
        return grantFolder(host, grant);
      },
    }),
  };
}

export function unmountCommand(host: Host): Command<{ folder: string; name: string }> {
  return {
    name: '/unmount',
    takes: 'GROUP NAME',
    help: 'take a folder away from a group again',
    who: 'main',
    parse: ([folder = '', name = '']) => ({ folder, name }),
    describe: ({ folder, name }) => `take the folder ${name} from ${folder}`,
    apply: ({ folder, name }) => ({
      commit: () => {
        restart(host, folder, true);
        return revokeFolder(host, folder, name);
      },
    }),
  };
}

function restart({ store, work }: Host, folder: string, interrupt: boolean): void {
  for (const { id } of listAgents(store, folder)) work.restart(id, { interrupt });
}
