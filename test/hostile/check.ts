/**
 * A check of the hostile agent: a program as data, and how it is judged, by what it printed and by
 * what the host saw meanwhile. It runs nothing itself.
 */
import type { World } from './world.ts';

/** From the start of a program to its being killed. */
const programTimeoutS = 25;
const outputBytesMax = 6000;

/** The runtime under attack, as the environment names it. */
export function runtimeName(): string {
  return process.env.NANOCLAW_RUNTIME ?? 'bubblewrap';
}

export interface Check {
  /** Short and stable: the table's rows are known by it. */
  id: string;
  area: string;
  /** What an agent must not be able to do: ends the sentence "An agent cannot ...". */
  says: string;
  /**
   * Prints a line that begins with OPEN for everything that it could do, and ends with status 0.
   * It knows the host as an agent might after reading mountinfo: see `World.facts`.
   */
  program: { language: 'bash' | 'python' | 'node'; code: string };
  /** It is main's agent that tries, not another group's. */
  inMain?: true;
  /** Beyond what holds for all: it ended, says nothing of OPEN, and the host saw no breach. */
  held?: (evidence: Evidence, world: World) => boolean;
  /**
   * By runtime, `runsc` or `any`: why it stays open there, and what that means. It excuses nothing
   * that the host saw.
   */
  open?: Partial<Record<string, string>>;
  /** Harmless where nothing is sealed, so that it can be shown there that the check can fail. */
  mild?: true;
}

export interface Evidence {
  /** Both of the program's outputs, cut after 6000 bytes. */
  output: string;
  /** It ran to its end; a check whose program broke shows nothing. */
  finished: boolean;
  /** What the host saw while it ran. */
  breaches: string[];
}

export interface Verdict {
  check: Check;
  isHeld: boolean;
  evidence: Evidence;
}

/** What gVisor grants, it grants in a kernel of its own. */
const gvisorAreas = ['kernel', 'processes', 'devices', 'planting'];
const gvisorSentence =
  'gVisor has a kernel of its own, a program without rights on the host: what that grants changes nothing outside.';

/** Why this check stays open on the runtime in use, if it does. */
export function sentenceFor({ area, open = {} }: Check): string | undefined {
  const name = runtimeName();
  const isGvisor = name.endsWith('+runsc');
  const ofGvisor = open.runsc ?? (gvisorAreas.includes(area) ? gvisorSentence : undefined);
  return open[name] ?? (isGvisor ? ofGvisor : undefined) ?? open.any;
}

/** Judges by what the program printed and what the host saw. */
export function judge(check: Check, printed: string, breaches: string[], world: World): Verdict {
  const finished = /^exit 0\s*$/m.test(printed);
  const seen = world.secretsIn(printed).map((place) => `it printed the secret planted in ${place}`);
  const evidence = { output: printed, finished, breaches: [...breaches, ...seen] };
  const isClean = evidence.breaches.length === 0 && !/^OPEN/m.test(printed);
  return {
    check,
    evidence,
    isHeld: finished && isClean && (check.held?.(evidence, world) ?? true),
  };
}

const interpreters = {
  bash: ['bash', 'program.sh'],
  python: ['python3', 'program.py'],
  node: ['node', 'program.mjs'],
} as const;

/** What is typed into a shell to run the check's program, in a folder that it makes. */
export function commandFor(
  { program }: Check,
  facts: Record<string, string>,
  folder = '/tmp/check',
): string {
  const [interpreter, file] = interpreters[program.language];
  const environment = Object.entries(facts).map(([name, value]) => `export ${name}='${value}'`);
  return [
    `mkdir -p ${folder} && cd ${folder}`,
    `cat > ${file} <<'END OF PROGRAM'\n${program.code}\nEND OF PROGRAM`,
    ...environment,
    `timeout -k 1 ${programTimeoutS} ${interpreter} ${file} > printed 2>&1 < /dev/null; status=$?`,
    `head -c ${outputBytesMax} printed; echo; echo "exit $status"`,
  ].join('\n');
}
