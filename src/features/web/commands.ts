/** The commands about the web: /egress in every chat, /web, /allow and /deny in the main chat. */
import { isIP } from 'node:net';
import type { Command } from '../../commands.ts';
import { findGroup, listGroups } from '../../db/groups.ts';
import type { Store } from '../../db.ts';
import { isPublic } from '../../egress/addresses.ts';
import { localDay } from '../../egress/ledger.ts';
import { type LedgerLine, listLedger, type Traffic } from '../../egress/store.ts';
import { parseTarget } from '../../egress/web.ts';
import type { FeatureHost } from '../../feature.ts';
import { type Group, UserError } from '../../types.ts';
import type { Policies } from './policy.ts';
import { type WebMode, webModes } from './store.ts';

const linesMax = 60;

type Host = Pick<FeatureHost, 'store' | 'clock' | 'ledger'>;

export function egressCommand({ store, clock, ledger }: Host): Command<Group> {
  return {
    name: '/egress',
    help: 'what left this machine today',
    who: 'callers',
    parse: (_, { group }) => group,
    describe: ({ folder }) => `tell ${folder} what left this machine`,
    apply: (group) => ({
      commit: () => {
        ledger.flush();
        const lines = listLedger(store, localDay(clock.now()));
        return report(group.isMain ? lines : lines.filter(({ folder }) => folder === group.folder));
      },
    }),
  };
}

interface WebArgs {
  folder?: string;
  mode?: WebMode;
}

export function webCommand({ store }: Host, policies: Policies): Command<WebArgs> {
  return {
    name: '/web',
    takes: '[GROUP [open|listed|none]]',
    help: 'what each group may reach of the web',
    who: 'main',
    parse: ([name, mode]) => {
      if (name === undefined) return {};
      const { folder } = loadGroup(store, name);
      if (mode === undefined) return { folder };
      const known = webModes.find((each) => each === mode);
      if (!known) throw new UserError(`${mode} is none of open, listed, none.`);
      return { folder, mode: known };
    },
    describe: ({ folder, mode }) =>
      folder && mode
        ? `set the web of ${folder} to ${mode}`
        : 'tell what may be reached of the web',
    apply: ({ folder, mode }) => ({
      commit: () => {
        if (folder === undefined)
          return listGroups(store)
            .map((group) => describePolicy(policies, group))
            .join('\n');
        const group = loadGroup(store, folder);
        if (mode === undefined) return describePolicy(policies, group);
        policies.set(group, { ...policies.of(group), mode });
        return `From now on ${describePolicy(policies, group)}`;
      },
    }),
  };
}

interface HostArgs {
  folder: string;
  host: string;
}

export function allowCommand({ store }: Host, policies: Policies): Command<HostArgs> {
  return {
    name: '/allow',
    takes: 'HOST [GROUP]',
    help: 'let a group reach a host, or with *.HOST all below it',
    who: 'main',
    parse: (words, { group, quoted }) => {
      const notice = words.length === 0 ? policies.noticed(quoted ?? '') : undefined;
      return hostArgs(store, notice ? [notice.host, notice.folder] : words, group);
    },
    describe: ({ host, folder }) => `let ${folder} reach ${host}`,
    apply: ({ host, folder }) => ({
      commit: () => {
        const group = loadGroup(store, folder);
        const { mode, hosts } = policies.of(group);
        if (mode === 'open') return `${folder} may reach every host already.`;
        policies.set(group, { mode, hosts: [...new Set([...hosts, host])] });
        return mode === 'listed'
          ? `${folder} may reach ${host} from now on.`
          : `${host} is on the list, but ${folder} has no access to the web. To change that: /web ${folder} listed`;
      },
    }),
  };
}

export function denyCommand({ store }: Host, policies: Policies): Command<HostArgs> {
  return {
    name: '/deny',
    takes: 'HOST [GROUP]',
    help: 'take a host off the list of a group',
    who: 'main',
    parse: (words, { group }) => hostArgs(store, words, group),
    describe: ({ host, folder }) => `let ${folder} no longer reach ${host}`,
    apply: ({ host, folder }) => ({
      commit: () => {
        const group = loadGroup(store, folder);
        const { mode, hosts } = policies.of(group);
        if (mode === 'open')
          return `${folder} may reach every host. To change that: /web ${folder} listed`;
        if (!hosts.includes(host))
          return `${host} is not on the list. ${describePolicy(policies, group)}`;
        policies.set(group, { mode, hosts: hosts.filter((other) => other !== host) });
        return `${folder} may not reach ${host} any more.`;
      },
    }),
  };
}

/** Parses `[HOST, GROUP]`. The group defaults to main. */
function hostArgs(store: Store, [name, folder]: string[], main: Group): HostArgs {
  const group = folder === undefined ? main : loadGroup(store, folder);
  return { folder: group.folder, host: checkedHost(name) };
}

function loadGroup(store: Store, folder: string): Group {
  const group = findGroup(store, folder);
  const known = () => listGroups(store).map((each) => each.folder);
  if (!group) throw new UserError(`There is no group ${folder}. There are: ${known().join(', ')}.`);
  return group;
}

function describePolicy(policies: Policies, group: Group): string {
  const { mode, hosts } = policies.of(group);
  return `${group.folder}: ${mode}${mode === 'listed' ? `, ${hosts.join(' ')}` : ''}`;
}

function checkedHost(name = ''): string {
  const [, wildcard = '', rest = ''] = /^(\*\.)?(.*)$/.exec(name) ?? [];
  const target = parseTarget(rest);
  if (!target?.host.includes('.') || /[/:]/.test(rest))
    throw new UserError(
      `"${name}" is no name of a host, such as www.example.org: without https:// and path.`,
    );
  if (isIP(target.host) && !isPublic(target.host))
    throw new UserError(`${target.host} is not on the public web: no agent may reach it.`);
  return wildcard + target.host;
}

/** The answer to /egress, totals first. */
function report(lines: LedgerLine[]): string {
  const allowed = lines.filter((line) => line.allowed);
  const refused = lines.filter((line) => !line.allowed);
  const sum = (column: keyof Traffic) => allowed.reduce((total, line) => total + line[column], 0);
  const traffic = describeTraffic({
    requests: sum('requests'),
    bytesUp: sum('bytesUp'),
    bytesDown: sum('bytesDown'),
  });
  const hosts = (some: LedgerLine[]) => new Set(some.map(({ host }) => host)).size;
  const said = lines.slice(0, linesMax).map(describeLine);
  const more = lines.length - said.length;
  return [
    `Today: ${count(hosts(allowed), 'host')}, ${traffic}; ${count(hosts(refused), 'host')} refused.`,
    ...said,
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join('\n');
}

function describeLine({ folder, host, allowed, ...traffic }: LedgerLine): string {
  return allowed
    ? `- ${folder}: ${host}, ${describeTraffic(traffic)}`
    : `- ${folder}: ${host} refused, ${count(traffic.requests, 'time')}`;
}

function describeTraffic({ requests, bytesUp, bytesDown }: Traffic): string {
  return `${count(requests, 'request')}, ${bytes(bytesUp)} sent, ${bytes(bytesDown)} received`;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  const value = count / 1000 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
