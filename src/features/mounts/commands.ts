/** What the owner decides about folders of theirs, in the main chat: /mount and /unmount. */
import type { Base } from '../../base.ts';
import type { Command } from '../../commands.ts';
import type { Turns } from '../../turn.ts';
import { UserError } from '../../types.ts';
import { grantFolder, listGrants, revokeFolder } from './extra-mounts.ts';

interface Dependencies extends Pick<Base, 'config' | 'store'> {
  turns: Pick<Turns, 'isActive' | 'evict'>;
}

export function mountCommands(deps: Dependencies): Command[] {
  const { turns } = deps;
  return [
    {
      name: '/mount',
      takes: '[GROUP FOLDER [rw]]',
      help: 'which folders of yours the groups see; lets one see another',
      mainOnly: true,
      run: ({ words: [folder, ...path] }) => {
        if (folder === undefined) return listGrants(deps).join('\n') || 'No group sees any.';
        if (path.length === 0)
          throw new UserError('Name a group and a folder, such as: /mount family ~/Documents');
        const readOnly = path.at(-1) !== 'rw';
        if (!readOnly) path.pop();
        const done = grantFolder(deps, { folder, path: path.join(' '), readOnly });
        // At the latest with its next container.
        if (!turns.isActive(folder)) turns.evict(folder, 'evicted');
        return done;
      },
    },
    {
      name: '/unmount',
      takes: 'GROUP NAME',
      help: 'lets a group no longer see a folder',
      mainOnly: true,
      run: ({ words: [folder = '', name = ''] }) => {
        const done = revokeFolder(deps, folder, name);
        // Even in the middle of a turn, which goes on without it.
        turns.evict(folder, 'evicted');
        return done;
      },
    },
  ];
}
