/**
 * Runs checks that may end their own run: each in a new container, in one host with small limits.
 * Meanwhile another group's agent is asked repeatedly and must answer. Afterwards nothing of the
 * attack may be left running.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { basename, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultLimits, type Limits } from '../../src/config.ts';
import { readInside } from '../../src/safe-open.ts';
import type { RunEndReason } from '../../src/types.ts';
import { App } from '../support/app.ts';
import type { TestTerminal } from '../support/terminal.ts';
import { type Check, commandFor, judge, sentenceFor, type Verdict } from './check.ts';
import { appendVerdicts } from './report.ts';
import { World } from './world.ts';

const mebibyte = 1024 ** 2;
const setUpTimeoutMs = 120_000;
const attackTimeoutMs = 90_000;
/** The number of questions before the attack, and again at its peak. */
const questions = 3;
const questionsMax = 100;
const requestStarted = 'http.server.request.start';
/**
 * How much the memory of this process, which includes the host, may grow during an attack: 64
 * connections with a window of 1 MiB, in the buffers of both ends and in what is not collected yet. The
 * largest attack would send more than 1 GiB.
 */
const hostGrowthBytesMax = 512 * mebibyte;

/** Small, so that the machine itself never runs short. */
const siegeLimits: Limits = {
  ...defaultLimits,
  crashAttemptsMax: 1,
  folderBytesMax: 64 * mebibyte,
  folderFilesMax: 5000,
  folderCheckMs: 100,
  container: {
    ...defaultLimits.container,
    memoryBytes: 768 * mebibyte,
    processesMax: 200,
    openFilesMax: 1024,
    fileBytesMax: 32 * mebibyte,
    tmpBytesMax: 32 * mebibyte,
    shmBytesMax: 8 * mebibyte,
  },
};

export interface Assault extends Check {
  /**
   * The reasons for which its own run may end. The program prints ATTACKING, creates `$READY` at
   * its peak, and continues until `$OVER` exists.
   */
  endsRun?: RunEndReason[];
  /** What people do while the program runs, so that it can interfere. */
  meanwhile?: (app: App, mallory: TestTerminal) => Promise<void>;
  /** What must hold on the host afterwards; each string is a breach. */
  afterwards?: (app: App, world: World, mallory: TestTerminal) => string[];
  /** A group without a container is asked as well. */
  withNewcomer?: true;
}

/** Makes one test and one row of the report for each check. */
export function siegeSuite(
  title: string,
  checks: Assault[],
  options: { prepare?: (app: App) => void; limits?: Partial<Limits> } = {},
): void {
  describe(title, () => {
    const cleanups: (() => Promise<void>)[] = [];
    const verdicts: Verdict[] = [];
    let siege: Siege;

    beforeAll(async () => {
      const world = await World.create();
      cleanups.push(() => world.remove());
      const atEnd = (clean: () => Promise<void>) => cleanups.push(clean);
      const app = await App.start({ limits: { ...siegeLimits, ...options.limits }, atEnd });
      await world.plantIn(app);
      options.prepare?.(app);
      siege = await Siege.begin(app, world);
    }, setUpTimeoutMs);

    test.each(checks.map((check) => [check.says, check] as const))(
      'an agent cannot %s',
      async (_, check) => {
        let verdict = await siege.stand(check);
        // An attack that did not run to its end proves nothing, so it gets a second try.
        if (!verdict.evidence.finished) verdict = await siege.stand(check);
        verdicts.push(verdict);
        const { breaches, output } = verdict.evidence;
        const isExcused = sentenceFor(check) !== undefined && breaches.length === 0;
        if (!verdict.isHeld && !isExcused)
          expect.fail([...breaches.map((breach) => `the host saw: ${breach}`), output].join('\n'));
      },
      attackTimeoutMs,
    );

    afterAll(async () => {
      for (const clean of cleanups.reverse()) await clean();
      appendVerdicts(verdicts);
    }, setUpTimeoutMs);
  });
}

const lastEnd =
  "SELECT reason, detail FROM runs WHERE agent_id = 'mallory' ORDER BY id DESC LIMIT 1";

class Siege {
  readonly #app: App;
  readonly #world: World;
  readonly #mallory: TestTerminal;
  readonly #neighbour: TestTerminal;

  private constructor(app: App, world: World, mallory: TestTerminal, neighbour: TestTerminal) {
    this.#app = app;
    this.#world = world;
    this.#mallory = mallory;
    this.#neighbour = neighbour;
  }

  static async begin(app: App, world: World): Promise<Siege> {
    const mallory = await app.attach('mallory', 'Mallory');
    const neighbour = await app.attach('neighbour', 'Nora');
    await ask(neighbour); // Now its container is warm.
    return new Siege(app, world, mallory, neighbour);
  }

  /** Has mallory's agent run the attack in a new container. */
  async stand(check: Assault): Promise<Verdict> {
    const app = this.#app;
    const before = this.#lookAtHost();
    const folder = app.inGroup('mallory');
    mkdirSync(folder, { recursive: true });
    empty(folder);
    this.#order(check);
    const memory = new PeakMemory();
    const said = this.#mallory.delivered.length;
    const usualMs = median(await this.#askUntil(() => true));
    await this.#mallory.say(`@Andy ${check.id}`);
    const isThere = (sign: string) =>
      existsSync(join(folder, sign)) || this.#endOf(before.runs) !== undefined;
    const hasEnded = () =>
      (statSync(join(folder, 'ended'), { throwIfNoEntry: false })?.size ?? 0) > 0 ||
      this.#endOf(before.runs) !== undefined;
    await until(() => isThere('begun'));
    await check.meanwhile?.(app, this.#mallory);
    const latencies = await this.#askUntil(() => isThere('ready'));
    if (check.withNewcomer) await ask(await app.attach('newcomer', 'Newman'));
    this.#allow(folder);
    await until(hasEnded);
    const end = this.#endOf(before.runs);
    const why = end === undefined ? '' : `\n${JSON.stringify(app.rows(lastEnd))}`;
    const printed = readPrinted(folder, end) + why;
    const breaches = memory.breaches();
    if (end !== undefined && !check.endsRun?.includes(end)) breaches.push(`its run ended: ${end}`);
    breaches.push(...(check.afterwards?.(app, this.#world, this.#mallory) ?? []));
    await this.#endRun(said);
    breaches.push(...(await this.#aftermath()), ...(await this.#world.take()));
    const ratio = median(latencies) / usualMs;
    console.log(
      `latency of another group during ${check.id}: ${ratio.toFixed(1)} x (${Math.round(median(latencies))} ms); the host's memory grew by ${memory.grownMebibytes()} MiB${end ? `; its run ended: ${end}` : ''}`,
    );
    if (process.env.NANOCLAW_HOSTILE_VERBOSE) console.log(printed, app.rows(lastEnd));
    return judge(check, printed, breaches, this.#world);
  }

  /** Scripts the model to have the agent run the program. */
  #order(check: Assault): void {
    const facts = {
      ...this.#world.facts,
      READY: '/workspace/group/ready',
      OVER: '/workspace/group/over',
      LIMITS: JSON.stringify(siegeLimits.container),
    };
    const run = commandFor(check, facts, '/workspace/group/check');
    const command = `touch /workspace/group/begun\n${run}\necho "exit $status" > /workspace/group/ended`;
    this.#app.model.on(check.id).callTool('Bash', { command }).thenReply('that was all');
  }

  /** Resolves to the milliseconds of each answer; the last three come after the attack's peak. */
  async #askUntil(isReady: () => boolean): Promise<number[]> {
    const latencies: number[] = [];
    for (let since = 0; since < questions && latencies.length < questionsMax; ) {
      if (isReady()) since += 1;
      latencies.push(await ask(this.#neighbour));
    }
    return latencies;
  }

  /** Tells the program that the others were answered, so that it may end. */
  #allow(folder: string): void {
    const path = join(folder, 'over');
    if (existsSync(path)) return;
    mkdirSync(path); // Needs no room on a disk that is full.
    if (process.getuid?.() === 0) chownSync(path, statSync(folder).uid, statSync(folder).gid);
  }

  /** Why mallory's latest run ended, or undefined while it runs. */
  #endOf(runsBefore: number): RunEndReason | undefined {
    const rows = this.#app.rows(
      "SELECT reason FROM runs WHERE agent_id = 'mallory' AND ended_at IS NOT NULL ORDER BY id",
    );
    return (rows[runsBefore] as { reason: RunEndReason } | undefined)?.reason;
  }

  #lookAtHost() {
    const rows = this.#app.rows("SELECT id FROM runs WHERE agent_id = 'mallory'");
    return { runs: rows.length };
  }

  async #endRun(said: number): Promise<void> {
    await this.#mallory.say('@Andy /new');
    const isNew = () =>
      this.#mallory.delivered.slice(said).find(({ text }) => text.startsWith('A fresh'));
    await this.#mallory.until(isNew, 'a fresh conversation');
    const live = "SELECT id FROM runs WHERE agent_id = 'mallory' AND ended_at IS NULL";
    await expect.poll(() => this.#app.rows(live)).toEqual([]);
  }

  /**
   * Reports what is left on the host: processes, files of the agent's user, secrets in stored data.
   */
  async #aftermath(): Promise<string[]> {
    const { homeDir, dataDir, groupsDir, logsDir } = this.#app.config;
    const mark = join(basename(homeDir), 'groups', 'mallory');
    const isOver = () => processesThatSee(mark).length === 0;
    for (let round = 0; round < 50 && !isOver(); round += 1) await sleep(100);
    const breaches = processesThatSee(mark).map((pid) => `process ${pid} still lives`);
    // The trash is still being emptied.
    const { trashDir } = this.#app.config;
    const own = [join(groupsDir, 'mallory'), join(dataDir, 'agents', 'mallory'), trashDir];
    const { uid } = statSync(join(groupsDir, 'mallory'));
    for (const path of listBelow(homeDir, own)) {
      const owner = statSync(path, { throwIfNoEntry: false })?.uid;
      if (process.getuid?.() === 0 && owner === uid)
        breaches.push(`it left ${relative(homeDir, path)}`);
    }
    const quarantine = join(dataDir, 'quarantine', 'mallory');
    const kept = existsSync(quarantine) ? readdirSync(quarantine) : [];
    if (kept.length > siegeLimits.quarantineFilesMax)
      breaches.push(`${kept.length} files are in quarantine`);
    const sent = join(dataDir, 'files');
    for (const dir of [quarantine, sent])
      for (const path of existsSync(dir) ? listBelow(dir) : [])
        for (const place of this.#world.secretsIn(readFileSync(path, 'latin1')))
          breaches.push(`${relative(homeDir, path)} holds the secret of ${place}`);
    const said = JSON.stringify(
      this.#app.rows("SELECT text FROM outbox WHERE chat_id = 'terminal:mallory'"),
    );
    for (const place of this.#world.secretsIn(said))
      breaches.push(`a message holds the secret of ${place}`);
    const logged = listBelow(logsDir).reduce((sum, path) => sum + statSync(path).size, 0);
    if (logged > 64 * mebibyte) breaches.push(`the log has ${logged} bytes`);
    return breaches;
  }
}

/** Resolves to the milliseconds from a question to its answer. */
async function ask(person: TestTerminal): Promise<number> {
  const beganMs = performance.now();
  const answers = person.delivered.length;
  await person.say('@Andy how are you?');
  await person.until(() => person.delivered[answers], 'an answer for another group', 60_000);
  const tookMs = performance.now() - beganMs;
  await person.settled();
  return tookMs;
}

/** Polls until the condition holds, because the agent could flood a watch of its folder. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(50);
}

/**
 * The peak growth in memory of this process, which includes the host. What the model's double holds of
 * requests that have not ended is not the host's, and is left out.
 */
class PeakMemory {
  readonly #uploads = new Set<Socket>();
  readonly #noteRequest = (message: unknown) => {
    const { server, socket } = message as { server: Server; socket: Socket };
    // The host's own server listens nowhere.
    if (server.listening) this.#uploads.add(socket);
  };
  readonly #before = process.memoryUsage.rss();
  #peak = this.#before;
  readonly #timer = setInterval(() => this.#look(), 50);

  constructor() {
    subscribe(requestStarted, this.#noteRequest);
  }

  #look(): void {
    const open = [...this.#uploads].filter((socket) => !socket.destroyed);
    const heldBytes = open.reduce((sum, socket) => sum + socket.bytesRead, 0);
    this.#peak = Math.max(this.#peak, process.memoryUsage.rss() - heldBytes);
  }

  grownMebibytes(): number {
    return Math.round((this.#peak - this.#before) / mebibyte);
  }

  breaches(): string[] {
    this.#look();
    clearInterval(this.#timer);
    unsubscribe(requestStarted, this.#noteRequest);
    const isBounded = this.#peak - this.#before < hostGrowthBytesMax;
    return isBounded ? [] : [`the host's memory grew by ${this.grownMebibytes()} MiB`];
  }
}

/**
 * The program's output and status. Where its run ended, ATTACKING in the output counts as finished.
 */
function readPrinted(folder: string, end: RunEndReason | undefined): string {
  const read = (path: string) => {
    try {
      return readInside(folder, path, { bytesMax: 64 * mebibyte }).toString('utf8');
    } catch (error) {
      return `not read: ${error}`;
    }
  };
  const printed = read('check/printed').slice(0, 6000);
  const status = existsSync(join(folder, 'ended')) ? read('ended') : '';
  if (end === undefined || status) return `${printed}\n${status}`;
  return `${printed}\nIts run ended: ${end}\n${printed.includes('ATTACKING') ? 'exit 0' : ''}`;
}

function empty(folder: string): void {
  for (const name of readdirSync(folder))
    rmSync(join(folder, name), { recursive: true, force: true, maxRetries: 5 });
}

/** Processes in whose file system a folder is mounted. */
function processesThatSee(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return pid > 0 && readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(folder);
      } catch {
        return false; // It has ended, or belongs to another user.
      }
    });
}

function listBelow(folder: string, without: string[] = []): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (without.includes(path)) return [];
    return entry.isDirectory() ? listBelow(path, without) : [path];
  });
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
