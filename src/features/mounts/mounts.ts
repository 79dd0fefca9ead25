/** Folders of the owner that groups may see: /mount lends them, /unmount takes them back. */
import type { Feature } from '../../feature.ts';
import { mountCommand, unmountCommand } from './commands.ts';
import { extraMountsFor } from './extra-mounts.ts';
import { listExtraMounts } from './store.ts';

export const mounts: Feature = {
  name: 'mounts',
  migrations: [
    `
    -- Folders of the host that the owner has lent; name: below /workspace/extra. A store that was
    -- made before features had numbers has it already.
    CREATE TABLE IF NOT EXISTS extra_mounts (
      folder TEXT NOT NULL,
      name TEXT NOT NULL,
      source TEXT NOT NULL,
      read_only INTEGER NOT NULL,
      PRIMARY KEY (folder, name)
    ) STRICT;
    `,
    `
    CREATE TRIGGER extra_mounts_end AFTER DELETE ON groups BEGIN
      DELETE FROM extra_mounts WHERE folder = old.folder;
    END;
    `,
  ],
  create: (host) => ({
    reach: ({ folder }) =>
      listExtraMounts(host.store)
        .filter((mount) => mount.folder === folder)
        .map(({ name, readOnly }) => `Sees ${name}${readOnly ? '' : ', and may write there'}.`),
    commands: [mountCommand(host), unmountCommand(host)],
    mounts: ({ group }) =>
      extraMountsFor(host, group.folder, (source, reason) => {
        host.log.warn({ source, reason }, 'a folder is not lent');
        host.owner.tell(reason, { key: `mount ${group.folder} ${reason}` });
      }),
  }),
};
