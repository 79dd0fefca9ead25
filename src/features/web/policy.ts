/** Each group's policy on the web: open, a list of hosts, or none. */
import type { Base } from '../../base.ts';
import type { Web } from '../../egress/web.ts';
import type { Group } from '../../types.ts';
import { findGroupPolicy, type GroupPolicy, saveGroupPolicy } from './store.ts';

/** The default for groups other than main: sites to read, and package registries. */
const usefulHosts = [
  '*.wikipedia.org',
  '*.wikimedia.org',
  '*.wiktionary.org',
  'www.wikidata.org',
  'developer.mozilla.org',
  'docs.python.org',
  'nodejs.org',
  'www.openstreetmap.org',
  'registry.npmjs.org',
  'pypi.org',
  'files.pythonhosted.org',
  'deb.debian.org',
  'github.com',
  'raw.githubusercontent.com',
  'objects.githubusercontent.com',
];

interface Dependencies extends Pick<Base, 'store'> {
  web: Pick<Web, 'recheck'>;
}

export class Policies {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  of({ folder, isMain }: Group): GroupPolicy {
    const known = findGroupPolicy(this.#deps.store, folder);
    return known ?? { mode: isMain ? 'open' : 'listed', hosts: usefulHosts };
  }

  /** Takes effect at the commit, which also closes connections that are no longer allowed. */
  set({ folder }: Group, policy: GroupPolicy): void {
    const { store, web } = this.#deps;
    saveGroupPolicy(store, folder, policy);
    store.afterCommit(() => web.recheck(folder));
  }

  /** As `WebPolicy` says. */
  objection(group: Group, host: string): string | undefined {
    const { mode, hosts } = this.of(group);
    if (mode === 'none')
      return `This group has no access to the web. The owner can give it in the main chat: /web ${group.folder} listed`;
    if (mode === 'open' || hosts.some((known) => covers(known, host))) return undefined;
    return `${host} is not among the hosts that this group may reach. The owner can allow it in the main chat: /allow ${host} ${group.folder}`;
  }
}

/** Whether an entry of a list, such as `*.example.org`, stands for the host. */
export function covers(known: string, host: string): boolean {
  return known.startsWith('*.') ? host.endsWith(known.slice(1)) : host === known;
}
