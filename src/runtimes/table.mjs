/**
 * The container runtimes, and which of their programs are on this machine. Plain JavaScript that
 * imports nothing of ours, because the set-up reads it before anything is built.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * @typedef {object} Row
 * @property {string} program the client, which is asked
 * @property {string[]} question its arguments; it exits with 0 when the runtime can be used
 * @property {string} remedy what to do when it does not
 * @property {boolean} hasGVisor whether gVisor is the kernel of its containers
 * @property {string[]} systems where it is tried unless NANOCLAW_RUNTIME names another
 */

const docker = {
  program: 'docker',
  question: ['info'],
  remedy: 'sudo systemctl start docker; and to use it without sudo: sudo usermod -aG docker $USER',
  hasGVisor: false,
  systems: ['linux', 'darwin'],
};

const podman = { ...docker, program: 'podman', remedy: '`podman info` tells what it lacks.' };

const gVisor = { hasGVisor: true, systems: [] };

/**
 * By the name that NANOCLAW_RUNTIME takes, in the order in which they are tried.
 * @type {Record<'docker' | 'podman' | 'apple-container' | 'docker+runsc' | 'podman+runsc' | 'bubblewrap', Row>}
 */
export const runtimes = {
  docker,
  podman,
  'apple-container': {
    program: 'container',
    question: ['system', 'status'],
    remedy: 'container system start',
    hasGVisor: false,
    systems: ['darwin'],
  },
  'docker+runsc': { ...docker, ...gVisor },
  'podman+runsc': { ...podman, ...gVisor },
  bubblewrap: {
    program: 'bwrap',
    question: ['--version'],
    remedy: 'sudo apt-get install bubblewrap util-linux   (or dnf, pacman, zypper, apk)',
    hasGVisor: false,
    systems: ['linux'],
  },
};

/** prlimit and setpriv come with util-linux, which only the smallest systems lack. */
export const bubblewrapPrograms = [runtimes.bubblewrap.program, 'prlimit', 'setpriv'];

/** What agents use, by package, as in container/Dockerfile. In bubblewrap only if it is there. */
export const agentPrograms = { curl: 'curl', git: 'git', python3: 'python3', rg: 'ripgrep' };

/** Those that this machine lacks, where agents look. */
export function missingPrograms(searchPath = '/usr/local/bin:/usr/bin:/bin') {
  return Object.keys(agentPrograms).filter((program) => !findProgram(program, searchPath));
}

/**
 * The full path of a program, or undefined. Starts no process.
 * @param {string} program
 * @param {string} [searchPath]
 */
export function findProgram(program, searchPath = process.env.PATH ?? '') {
  return searchPath
    .split(delimiter)
    .filter(Boolean)
    .map((dir) => join(dir, program))
    .find(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // ENOENT, EACCES, ENOTDIR
  }
}
