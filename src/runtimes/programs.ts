/**
 * Finds programs on the host's PATH and asks them short questions.
 * Never waits long: an engine that does not answer counts as one that is not there.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What the host's own environment says; engines find their sockets by it. */
export type Environment = Record<string, string | undefined>;

/** The full path of a program, or undefined when PATH has none. */
export function findProgram(name: string, environment: Environment): string | undefined {
  return (environment.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(executable);
}

/** Its standard output; undefined when it fails or does not answer within `timeoutMs`. */
export function ask(
  file: string,
  args: string[],
  environment: Environment,
  timeoutMs: number,
): Promise<string | undefined> {
  const options = { env: environment, timeout: timeoutMs, killSignal: 'SIGKILL' as const };
  return new Promise((resolve) => {
    execFile(file, args, options, (error, stdout) => resolve(error ? undefined : stdout));
  });
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Missing, or not for us.
    return false;
  }
}
