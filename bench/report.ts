/** Prints the figures for people, each with its goal and whether it was met. */
import type { measureContainers } from './containers.ts';
import type { measureConversation } from './conversation.ts';
import type { measureGrowth } from './growth.ts';
import type { measureOvertaking } from './overtaking.ts';
import type { measureRuntimes } from './runtimes.ts';
import type { measureStoring } from './storing.ts';
import type { measureWayOut } from './way-out.ts';
import type { measureWhatsApp } from './whatsapp.ts';

/** The measured parts. */
export interface Figures extends Partial<ConversationFigures> {
  /** The name of the runtime whose containers were measured, where a part does not name its own. */
  runtime: string;
  whatsApp?: WhatsAppFigures;
  overtaking?: OvertakingFigures;
  containers?: ContainerFigures;
  runtimes?: RuntimeFigures;
  wayOut?: WayOutFigures;
  store?: StoreFigures;
  growth?: GrowthFigures;
}

type ConversationFigures = Awaited<ReturnType<typeof measureConversation>>;
type WhatsAppFigures = Awaited<ReturnType<typeof measureWhatsApp>>;
type OvertakingFigures = Awaited<ReturnType<typeof measureOvertaking>>;
type ContainerFigures = Awaited<ReturnType<typeof measureContainers>>;
type RuntimeFigures = Awaited<ReturnType<typeof measureRuntimes>>;
type WayOutFigures = Awaited<ReturnType<typeof measureWayOut>>;
type StoreFigures = Awaited<ReturnType<typeof measureStoring>>;
type GrowthFigures = Awaited<ReturnType<typeof measureGrowth>>;

interface Row {
  name: string;
  value: string;
  detail?: string;
  goal?: string;
  isMet?: boolean;
}

/** One line for each figure. */
export function reportOf(figures: Figures): string {
  const rows = rowsOf(figures);
  const width = (texts: string[]) => Math.max(...texts.map((text) => text.length));
  const nameWidth = width(rows.map(({ name }) => name));
  const valueWidth = width(rows.map(({ value }) => value));
  const goalWidth = width(rows.map(goalOf));
  const lines = rows.map((row) => {
    const { name, value, detail = '' } = row;
    const columns = [name.padEnd(nameWidth), value.padStart(valueWidth)];
    return [...columns, goalOf(row).padEnd(goalWidth), detail].join('  ').trimEnd();
  });
  if (rows.every(({ goal }) => goal === undefined)) return lines.join('\n');
  const missed = missedGoals(figures);
  const verdict = missed.length > 0 ? `Missed: ${missed.join('; ')}.` : 'Every goal is met.';
  return [...lines, verdict].join('\n');
}

/** The names of the figures that are worse than their goals. */
export function missedGoals(figures: Figures): string[] {
  return rowsOf(figures)
    .filter(({ isMet }) => isMet === false)
    .map(({ name }) => name);
}

function goalOf({ goal, isMet }: Row): string {
  return goal === undefined ? '' : `${isMet ? 'met' : 'MISSED'} (${goal})`;
}

function rowsOf(figures: Figures): Row[] {
  const {
    growth,
    runtime,
    warm,
    cold,
    host,
    whatsApp,
    overtaking,
    containers,
    runtimes,
    wayOut,
    store,
  } = figures;
  const ofRuntime = (row: Row) => ({ ...row, detail: `${row.detail ?? ''} (${runtime})`.trim() });
  return [
    ...(warm && cold && host ? conversationRowsOf({ warm, cold, host }).map(ofRuntime) : []),
    ...(whatsApp ? whatsAppRowsOf(whatsApp).map(ofRuntime) : []),
    ...(overtaking ? overtakingRowsOf(overtaking).map(ofRuntime) : []),
    ...(containers ? containerRowsOf(containers).map(ofRuntime) : []),
    ...(runtimes ? runtimeRowsOf(runtimes) : []),
    ...(wayOut ? wayOutRowsOf(wayOut) : []),
    ...(store ? storeRowsOf(store) : []),
    ...(growth ? growthRowsOf(growth) : []),
  ];
}

function conversationRowsOf({ warm, cold, host }: ConversationFigures): Row[] {
  const beside = (ours: number, bare: number) => `${ours} ms, bare SDK ${bare} ms`;
  return [
    {
      ...atMost('warm, to the first request', warm.ratio, ' x', 1.5),
      detail: beside(warm.oursMs, warm.bareMs),
    },
    {
      name: 'warm, to the reply',
      value: `${warm.replyRatio} x`,
      detail: beside(warm.oursReplyMs, warm.bareReplyMs),
    },
    {
      ...atMost('cold, to the first request', cold.ratio, ' x', 1.35),
      detail: beside(cold.oursMs, cold.bareMs),
    },
    {
      name: 'cold, to the reply',
      value: `${cold.replyRatio} x`,
      detail: beside(cold.oursReplyMs, cold.bareReplyMs),
    },
    atMost('host, memory when started', host.rssMb, ' MB', 90),
    { name: 'host, memory after talking', value: `${host.rssAfterMb} MB` },
    atMost('host, CPU when idle', host.idleCpuPercent, ' %', 0.5),
  ];
}

function containerRowsOf(containers: ContainerFigures): Row[] {
  return [
    {
      name: 'containers a second',
      value: String(containers.perSecond),
      detail: `${containers.perSecondAtOnce} when started eight at once`,
    },
  ];
}

/** These have no goals, because the engines are not ours. */
function runtimeRowsOf(runtimes: RuntimeFigures): Row[] {
  return Object.entries(runtimes).flatMap(([name, figures]): Row[] => {
    if ('notHere' in figures)
      return [{ name: `a container, ${name}`, value: 'not here', detail: figures.notHere }];
    const { lifeRatio, lifeMs, replyRatio, replyMs } = figures;
    return [
      { name: `a container, ${name}`, value: `${lifeRatio} x`, detail: `${lifeMs} ms` },
      { name: `cold, to the reply, ${name}`, value: `${replyRatio} x`, detail: `${replyMs} ms` },
    ];
  });
}

function wayOutRowsOf(figures: WayOutFigures): Row[] {
  if ('notHere' in figures)
    return [{ name: 'the way out', value: 'not here', detail: figures.notHere }];
  const stream = (direction: 'down' | 'up'): Row => {
    const { share, wireMbPerSecond, directMbPerSecond } = figures[direction];
    const detail = `${wireMbPerSecond} MB/s, direct ${directMbPerSecond} MB/s (bubblewrap)`;
    return { ...atLeast(`the way out, a stream ${direction}`, share, ' x', 0.5), detail };
  };
  const request = (name: string, kind: 'newTunnel' | 'openTunnel' | 'plain' | 'modelCall'): Row => {
    const { addedMs, wireMs, directMs } = figures[kind];
    const detail = `${wireMs} ms, direct ${directMs} ms (bubblewrap)`;
    return { ...atMost(`the way out, added to ${name}`, addedMs, ' ms', 1), detail };
  };
  return [
    stream('down'),
    stream('up'),
    request('a request in a new tunnel', 'newTunnel'),
    request('a request in an open tunnel', 'openTunnel'),
    request('a plain HTTP request', 'plain'),
    request('a model call', 'modelCall'),
  ];
}

function storeRowsOf(store: StoreFigures): Row[] {
  const costs = Object.entries(store.costPerMessageUs).map(([size, us]) => `${size}: ${us} us`);
  return [
    atLeast('messages stored a second', store.messagesPerSecond, '', 10_000),
    {
      ...atMost('cost of a message as the store grows', store.costRatio, ' x', 1.5),
      detail: costs.join(', '),
    },
  ];
}

function whatsAppRowsOf(figures: WhatsAppFigures): Row[] {
  const { warm, cold, echoMs, flushes, rssAfterMb } = figures;
  const beside = ({ oursReplyMs, bareReplyMs }: typeof warm) =>
    `${oursReplyMs} ms, bare bot ${bareReplyMs} ms`;
  const memory = Object.entries(rssAfterMb).map(([count, mb]) => `${count}: ${mb} MB`);
  return [
    {
      ...atMost('WhatsApp, warm, to the reply', warm.replyRatio, ' x', 1.25),
      detail: `${beside(warm)}, its echo ${echoMs} ms`,
    },
    flushRowOf(flushes),
    {
      name: 'WhatsApp, cold, to the reply',
      value: `${cold.replyRatio} x`,
      detail: beside(cold),
    },
    atMost('WhatsApp, memory when idle', figures.rssMb, ' MB', 140),
    {
      ...atMost('WhatsApp, memory over 10,000 messages', figures.rssRatio, ' x', 1.1),
      detail: memory.join(', '),
    },
    {
      name: 'WhatsApp, messages received a second',
      value: String(figures.messagesPerSecond),
      detail: `${figures.groupMessagesPerSecond} of a group`,
    },
  ];
}

function overtakingRowsOf({ flood, uploads }: OvertakingFigures): Row[] {
  const row = (when: string, { medianMs, worstMs }: typeof flood): Row => ({
    ...atMost(`WhatsApp, a command ${when}`, worstMs, ' ms', 1000),
    detail: `at worst; the median is ${medianMs} ms`,
  });
  return [row('in a flood', flood), row('during uploads', uploads)];
}

function flushRowOf(flushes: WhatsAppFigures['flushes']): Row {
  const name = 'WhatsApp, warm, flushes of the disk';
  if ('notHere' in flushes) return { name, value: 'not here', detail: flushes.notHere };
  return {
    ...atMost(name, flushes.perMessage, '', 6),
    detail: `bare bot ${flushes.barePerMessage}`,
  };
}

function growthRowsOf({ ours, before }: GrowthFigures): Row[] {
  const [first] = ours;
  return ours.map(({ perMessage, largest }, week) => {
    const name = `tokens sent with a message, week ${week + 1}`;
    const { perMessage: beside, largest: largestBeside } = before[week] ?? {};
    const detail = `at most ${largest} at once; of itself ${beside}, at most ${largestBeside}`;
    // Weeks differ by the place at which the conversation is shortened.
    const max = Math.round(1.25 * (first?.perMessage ?? 0));
    return { ...atMost(name, perMessage, '', max), detail };
  });
}

function atLeast(name: string, value: number, unit: string, min: number): Row {
  return { name, value: `${value}${unit}`, goal: `at least ${min}${unit}`, isMet: value >= min };
}

function atMost(name: string, value: number, unit: string, max: number): Row {
  return { name, value: `${value}${unit}`, goal: `at most ${max}${unit}`, isMet: value <= max };
}
