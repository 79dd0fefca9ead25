/**
 * Installs packages by apt where it may, which is as root or with a sudo that asks for no password;
 * and the one command to tell a person where it may not.
 */
import { agentPrograms, findProgram, missingPrograms } from '../src/runtimes/table.mjs';
import { run, say } from './run.mjs';

const sudoTimeoutMs = 15_000;
const aptTimeoutMs = 10 * 60_000;

const installers = [
  { program: 'apt-get', command: 'apt-get install -y' },
  { program: 'dnf', command: 'dnf install -y' },
  { program: 'pacman', command: 'pacman -S --needed' },
  { program: 'zypper', command: 'zypper install' },
  { program: 'apk', command: 'apk add' },
];

/** What tests use beside the programs of agents, by package. */
const testPrograms = { ip: 'iproute2', ps: 'procps', pip3: 'python3-pip' };

/** The packages of agents' programs that this machine lacks. */
export function agentPackages(searchPath) {
  return missingPrograms(searchPath).map((program) => agentPrograms[program]);
}

/** The command that installs them; undefined without a package manager that we know. */
export function installCommand(
  packages,
  { isRoot = process.getuid() === 0, searchPath = process.env.PATH } = {},
) {
  const installer = installers.find(({ program }) => findProgram(program, searchPath));
  return installer && `${isRoot ? '' : 'sudo '}${installer.command} ${packages.join(' ')}`;
}

/**
 * Installs them, with the reason said aloud. Refreshes the package lists only when the installation
 * fails with those at hand.
 * @returns {Promise<string | undefined>} what apt said if it failed; '' where apt may not be used
 */
export async function install(packages, reason) {
  const asRoot = findProgram('apt-get') && (await rootPrefix());
  if (!asRoot) return '';
  const [file, ...before] = [...asRoot, 'apt-get'];
  say(`installing ${packages.join(', ')}, ${reason} (${[file, ...before].join(' ')}) ...`);
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: aptTimeoutMs };
  const apt = (...args) => run(file, [...before, ...args], options);
  const lockWait = ['-o', 'DPkg::Lock::Timeout=120'];
  const once = () => apt(...lockWait, 'install', '-y', '--no-install-recommends', ...packages);
  if ((await once()).code === 0) return undefined;
  const update = await apt('update');
  const { code, output } = update.code === 0 ? await once() : update;
  return code === 0 ? undefined : output;
}

/** What runs a command as root without a password; undefined when nothing does. */
async function rootPrefix() {
  if (process.getuid() === 0) return [];
  if (!findProgram('sudo')) return undefined;
  const { code } = await run('sudo', ['-n', 'true'], { timeoutMs: sudoTimeoutMs });
  return code === 0 ? ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive'] : undefined;
}

/** Installs what tests use, also as agents. Where it may not, tells the command and goes on. */
export async function ensureTestPrograms(searchPath) {
  if (process.platform !== 'linux') return;
  const others = Object.keys(testPrograms).filter((program) => !findProgram(program));
  const packages = [
    ...agentPackages(searchPath),
    ...others.map((program) => testPrograms[program]),
  ];
  if (packages.length === 0) return;
  const complaint = await install(packages, 'which tests use');
  if (complaint === undefined) return;
  const command = installCommand(packages) ?? `install ${packages.join(', ')}`;
  say(`tests will fail for want of programs. Run this once: ${command}\n${complaint}`.trim());
}
