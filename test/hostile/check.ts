/**
 * A check of the hostile agent: a program as data, and how it is judged by its output and by what
 * the host saw meanwhile. It runs nothing itself.
 */
import type { World } from './world.ts';

/** After this a program is killed. */
const programTimeoutS = 60;
const outputBytesMax = 6000;

/** The runtime under attack, as the environment names it. */
export function runtimeName(): string {
  return process.env.NANOCLAW_RUNTIME ?? 'bubblewrap';
}

export interface Check {
  /** Short and stable, because it identifies the row in the table. */
  id: string;
  area: string;
  /** What an agent must not be able to do, as the end of the sentence "An agent cannot ...". */
  says: string;
  /**
   * Prints a line that begins with OPEN for everything that it managed to do, and exits with 0. Its
   * environment holds `World.facts`, which an agent could partly learn from mountinfo.
   */
  program: { language: 'bash' | 'python' | 'node'; code: string };
  /** Runs as main's agent instead of another group's. */
  inMain?: true;
  /** An extra condition. All checks must finish without an OPEN line and without a breach. */
  held?: (evidence: Evidence, world: World) => boolean;
  /**
   * By runtime, `runsc` or `any`: why it stays open there, and what that means. It does not excuse
   * a breach that the host saw.
   */
  open?: Partial<Record<string, string>>;
  /** Harmless without a container, where a test shows that the check can fail. */
  mild?: true;
}

export interface Evidence {
  /** The program's stdout and stderr, cut after 6000 bytes. */
  output: string;
  /** The program ran to its end. A broken program proves nothing. */
  finished: boolean;
  /** What the host saw while it ran. */
  breaches: string[];
}

export interface Verdict {
  check: Check;
  isHeld: boolean;
  evidence: Evidence;
}

/** The areas in which gVisor allows more, but only within its own kernel. */
const gvisorAreas = ['kernel', 'processes', 'devices', 'planting'];
const gvisorSentence =
  'gVisor has a kernel of its own, a program without rights on the host: what that grants changes nothing outside.';

/** Why this check stays open on the current runtime, if it does. */
export function sentenceFor({ area, open = {} }: Check): string | undefined {
  const name = runtimeName();
  const isGvisor = name.endsWith('+runsc');
  const ofGvisor = open.runsc ?? (gvisorAreas.includes(area) ? gvisorSentence : undefined);
  return open[name] ?? (isGvisor ? ofGvisor : undefined) ?? open.any;
}

/** Judges by the program's output and by the breaches that the host saw. */
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

/** The shell command that writes the check's program into a new folder and runs it. */
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
