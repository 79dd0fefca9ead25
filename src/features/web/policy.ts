/** Each group's policy on the web: open, a list of hosts, or none. */
import type { Base } from '../../base.ts';
import { hasNotice } from '../../db/notices.ts';
import type { Web, WebPolicy } from '../../egress/web.ts';
import type { Group, Owner } from '../../types.ts';
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

/** How many refused hosts of a group the owner is told of in a day. */
const noticesPerDayMax = 5;
const noticeForgottenMs = 24 * 60 * 60_000;
/** UTF-16 units of the assistant's name, which a channel may put before a notice. */
const nameRoom = 40;

interface Dependencies extends Pick<Base, 'store' | 'clock'> {
  owner: Owner;
  web: Pick<Web, 'recheck'>;
}

export class Policies implements WebPolicy {
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

  objection(group: Group, host: string): string | undefined {
    const { mode, hosts } = this.of(group);
    if (mode === 'none')
      return `This group has no access to the web. The owner can give it in the main chat: /web ${group.folder} listed`;
    if (mode === 'open' || hosts.some((known) => covers(known, host))) return undefined;
    return `${host} is not among the hosts that this group may reach. The owner can allow it in the main chat: /allow ${host} ${group.folder}`;
  }

  /** Tells the owner, once a day for each host, up to a number of hosts. */
  refused(group: Group, host: string): void {
    if (this.of(group).mode !== 'listed') return;
    const { folder } = group;
    const last = `The agent of "${folder}" was refused further hosts today. /egress lists them.`;
    const atMost = { topic: `web ${folder}`, perDay: noticesPerDayMax, last };
    this.#deps.owner.tell(noticeOf(folder, host), { key: noticeKey(folder, host), atMost });
  }

  /**
   * The host and group of a notice of the last day. Undefined for every other text, because an agent
   * may have written it.
   */
  noticed(text: string): { host: string; folder: string } | undefined {
    const { store, clock } = this.#deps;
    const [, folder = '', host = ''] =
      /The agent of "([^"]+)" wanted to reach (\S+) /.exec(text) ?? [];
    const notice = noticeOf(folder, host);
    const isWhole = text.endsWith(notice) && text.length < notice.length + nameRoom;
    const sinceMs = clock.now() - noticeForgottenMs;
    const isOurs = isWhole && hasNotice(store, noticeKey(folder, host), sinceMs);
    return isOurs ? { host, folder } : undefined;
  }
}

function noticeKey(folder: string, host: string): string {
  return `web ${folder} ${host}`;
}

/** Leaves out the group's name, because an agent may have chosen it. */
function noticeOf(folder: string, host: string): string {
  return `The agent of "${folder}" wanted to reach ${host} and was refused. To allow it, reply /allow to this message, or write: /allow ${host} ${folder}`;
}

function covers(known: string, host: string): boolean {
  return known.startsWith('*.') ? host.endsWith(known.slice(1)) : host === known;
}
