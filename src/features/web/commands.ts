/** What the owner asks and decides about the way out: /egress everywhere, the rest in the main chat. */
import { isIP } from 'node:net';
import type { Command } from '../../commands.ts';
import { findGroup, listGroups } from '../../db/groups.ts';
import { isPublic } from '../../egress/addresses.ts';
import { type Ledger, localDay } from '../../egress/ledger.ts';
import { type LedgerLine, listLedger, type WebMode } from '../../egress/store.ts';
import { parseTarget, type Web, type WebDependencies } from '../../egress/web.ts';
import { type Group, UserError } from '../../types.ts';

const linesMax = 60;

interface Dependencies extends Omit<WebDependencies, 'tellOwner'> {
  web: Web;
  ledger: Ledger;
}

export function webCommands({ web, ledger, store, clock }: Dependencies): Command[] {
  const groupOf = (folder: string | undefined, main: Group): Group => {
    const group = folder === undefined ? main : findGroup(store, folder);
    if (!group) throw new UserError(`There is no group ${folder}. There are: ${folders()}.`);
    return group;
  };
  const folders = () =>
    listGroups(store)
      .map(({ folder }) => folder)
      .join(', ');
  const describe = (group: Group) => {
    const { mode, hosts } = web.policyOf(group);
    return `${group.folder}: ${mode}${mode === 'listed' ? `, ${hosts.join(' ')}` : ''}`;
  };
  return [
    {
      name: '/egress',
      help: 'what left this machine today',
      run: ({ group }) => {
        ledger.flush();
        const lines = listLedger(store, localDay(clock.now()));
        return report(group.isMain ? lines : lines.filter(({ folder }) => folder === group.folder));
      },
    },
    {
      name: '/web',
      takes: '[GROUP [open|listed|none]]',
      help: 'what each group may reach of the web',
      mainOnly: true,
      run: ({ group: main, words: [folder, mode] }) => {
        if (folder === undefined) return listGroups(store).map(describe).join('\n');
        const group = groupOf(folder, main);
        if (mode === undefined) return describe(group);
        if (!isMode(mode)) throw new UserError(`${mode} is none of open, listed, none.`);
        web.setPolicy(group, { ...web.policyOf(group), mode });
        return `From now on ${describe(group)}`;
      },
    },
    {
      name: '/allow',
      takes: 'HOST [GROUP]',
      help: 'let a group reach a host, or with *.HOST all below it',
      mainOnly: true,
      run: ({ group: main, words, quoted }) => {
        const notice = words.length === 0 ? web.noticed(quoted ?? '') : undefined;
        const [name, folder] = notice ? [notice.host, notice.folder] : words;
        const group = groupOf(folder, main);
        const host = checkedHost(name);
        const { mode, hosts } = web.policyOf(group);
        if (mode === 'open') return `${group.folder} may reach every host already.`;
        web.setPolicy(group, { mode, hosts: [...new Set([...hosts, host])] });
        return mode === 'listed'
          ? `${group.folder} may reach ${host} from now on.`
          : `${host} is on the list, but ${group.folder} has no access to the web. To change that: /web ${group.folder} listed`;
      },
    },
    {
      name: '/deny',
      takes: 'HOST [GROUP]',
      help: 'take a host off the list of a group',
      mainOnly: true,
      run: ({ group: main, words: [name, folder] }) => {
        const group = groupOf(folder, main);
        const host = checkedHost(name);
        const { mode, hosts } = web.policyOf(group);
        if (mode === 'open')
          return `${group.folder} may reach every host. To change that: /web ${group.folder} listed`;
        if (!hosts.includes(host)) return `${host} is not on the list. ${describe(group)}`;
        web.setPolicy(group, { mode, hosts: hosts.filter((other) => other !== host) });
        return `${group.folder} may not reach ${host} any more.`;
      },
    },
  ];
}

function isMode(word: string): word is WebMode {
  return ['open', 'listed', 'none'].includes(word);
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

/** Totals first. */
function report(lines: LedgerLine[]): string {
  const allowed = lines.filter((line) => line.allowed);
  const refused = lines.filter((line) => !line.allowed);
  const sum = (pick: (line: LedgerLine) => number) =>
    allowed.reduce((total, line) => total + pick(line), 0);
  const hosts = (some: LedgerLine[]) => new Set(some.map(({ host }) => host)).size;
  const said = lines.slice(0, linesMax).map(describeLine);
  const more = lines.length - said.length;
  return [
    `Today: ${count(hosts(allowed), 'host')}, ${count(
      sum(({ requests }) => requests),
      'request',
    )}, ${bytes(sum(({ bytesUp }) => bytesUp))} sent, ${bytes(sum(({ bytesDown }) => bytesDown))} received; ${count(hosts(refused), 'host')} refused.`,
    ...said,
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join('\n');
}

function describeLine({ folder, host, allowed, requests, ...line }: LedgerLine): string {
  if (!allowed) return `- ${folder}: ${host} refused, ${count(requests, 'time')}`;
  return `- ${folder}: ${host}, ${count(requests, 'request')}, ${bytes(line.bytesUp)} sent, ${bytes(line.bytesDown)} received`;
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
