/** The commands about the web: /egress in every chat, /web, /allow and /deny in the main chat. */
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Command } from '../../commands.ts';
import { listGroups, loadGroup } from '../../db/groups.ts';
import type { Store } from '../../db.ts';
import { isPublic } from '../../egress/addresses.ts';
import { localDay } from '../../egress/ledger.ts';
import { type LedgerLine, listLedger, type Traffic } from '../../egress/store.ts';
import { parseTarget } from '../../egress/web.ts';
import type { FeatureHost } from '../../feature.ts';
import { quoted } from '../../text.ts';
import { type Group, UserError } from '../../types.ts';
import { covers, type Policies } from './policy.ts';
import { type WebMode, webModes } from './store.ts';

const linesMax = 60;

type Host = Pick<FeatureHost, 'store' | 'clock' | 'ledger'>;

interface EgressArgs {
  group: Group;
  /** Undefined: today. */
  day?: string;
  page: number;
}

export function egressCommand({ store, clock, ledger }: Host): Command<EgressArgs> {
  return {
    name: '/egress',
    takes: '[YYYY-MM-DD] [PAGE]',
    help: 'what left this machine, today or on another day',
    who: 'callers',
    parse: (words, { group }) => {
      const args: EgressArgs = { group, page: 1 };
      for (const word of words)
        if (/^\d{4}-\d\d-\d\d$/.test(word)) args.day = word;
        else if (/^[1-9]\d{0,3}$/.test(word)) args.page = Number(word);
        else throw new UserError(`${word} is neither a day, such as 2026-03-01, nor a page.`);
      return args;
    },
    describe: ({ group }) => `tell ${group.folder} what left this machine`,
    apply: ({ group, day, page }) => ({
      commit: () => {
        ledger.flush();
        const all = listLedger(store, day ?? localDay(clock.now()));
        const lines = group.isMain ? all : all.filter(({ folder }) => folder === group.folder);
        return report(lines, day, page);
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
    help: 'what each group may reach of the web; with a mode, change it',
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
    parse: (words, { group }) => hostArgs(store, words, group),
    approvable: z.strictObject({ folder: z.string(), host: z.string() }),
    describe: ({ host, folder }) => `let ${quoted(folder)} reach ${quoted(host)}`,
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
        const left = hosts.filter((other) => other !== host);
        const wider = left.find((other) => covers(other, host));
        policies.set(group, { mode, hosts: left });
        if (wider)
          return `${folder} may still reach ${host}, because ${wider} covers it. To take all of that away: /deny ${wider} ${folder}`;
        return left.length < hosts.length
          ? `${folder} may not reach ${host} any more.`
          : `${host} is not on the list. ${describePolicy(policies, group)}`;
      },
    }),
  };
}

/** Parses `[HOST, GROUP]`. The group defaults to main. */
function hostArgs(store: Store, [name, folder]: string[], main: Group): HostArgs {
  const group = folder === undefined ? main : loadGroup(store, folder);
  return { folder: group.folder, host: checkedHost(name) };
}

function describePolicy(policies: Policies, group: Group): string {
  const { mode, hosts } = policies.of(group);
  return `${group.folder}: ${mode}${mode === 'listed' ? `, ${hosts.join(' ')}` : ''}`;
}

/** Throws UserError when no host that may be allowed has that name. */
export function checkedHost(name = ''): string {
  const [, wildcard = '', rest = ''] = /^(\*\.)?(.*)$/.exec(name) ?? [];
  const target = parseTarget(rest);
  if (!target?.host.includes('.') || /[/:]/.test(rest))
    throw new UserError('Write a host like www.example.org, without https:// and without a path.');
  if (isIP(target.host) && !isPublic(target.host))
    throw new UserError(`${target.host} is not on the public web: no agent may reach it.`);
  return wildcard + target.host;
}

/** The answer to /egress, totals first. */
function report(lines: LedgerLine[], day: string | undefined, page: number): string {
  const allowed = lines.filter((line) => line.allowed);
  const refused = lines.filter((line) => !line.allowed);
  const sum = (column: keyof Traffic) => allowed.reduce((total, line) => total + line[column], 0);
  const traffic = describeTraffic({
    requests: sum('requests'),
    bytesUp: sum('bytesUp'),
    bytesDown: sum('bytesDown'),
  });
  const hosts = (some: LedgerLine[]) => new Set(some.map(({ host }) => host)).size;
  const end = page * linesMax;
  const said = lines.slice(end - linesMax, end).map(describeLine);
  const more = lines.length - end;
  return [
    `${day ?? 'Today'}: ${count(hosts(allowed), 'host')}, ${traffic}; ${count(hosts(refused), 'host')} refused.`,
    ...said,
    ...(more > 0
      ? [`and ${more} more: ${['/egress', day, page + 1].filter(Boolean).join(' ')}`]
      : []),
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
