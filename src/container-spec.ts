/**
 * What every container runtime is given and gives: a description in, a command line out.
 */

export interface Mount {
  source: string;
  target: string;
  readOnly: boolean;
}

export interface ContainerLimits {
  memoryBytes: number;
  processesMax: number;
  openFilesMax: number;
  fileBytesMax: number;
  tmpBytesMax: number;
  shmBytesMax: number;
  cpus: number;
}

export interface ContainerSpec {
  /** `nanoclaw-<instance>-<run>`: unique on this host. */
  name: string;
  /** The agent's uid on the host, where the host is root or the runtime's engine is. */
  uid: number;
  mounts: Mount[];
  /** Holds no secret: the command line or `ps` may show it. */
  env: Record<string, string>;
  workDir: string;
  command: string[];
  limits: ContainerLimits;
}

/** A process to spawn: stdin, stdout and stderr are the container's own. */
export interface Launch {
  file: string;
  args: string[];
  /** The whole environment; nothing is inherited. */
  env: Record<string, string>;
  /** Written to file descriptors 3, 4, ... which are then closed. */
  feeds: Buffer[];
}

export interface Runtime {
  readonly name: string;
  /** Whether the agents' system calls end in a kernel of their own, which needs no filter. */
  readonly hasOwnKernel: boolean;
  /** One line for the start-up report, which also says what cannot be limited here. */
  describe(): string;
  /** Says how to start the container, and makes ready the limits that it starts under. */
  launch(spec: ContainerSpec): Launch;
  /** Ends everything in the container at once. Resolves when it is gone or never was. */
  kill(name: string): Promise<void>;
  /** Gives back what `launch` made ready, once the container has ended. */
  release(name: string): Promise<void>;
  /** Ends what an earlier host left behind; resolves to the number of containers. */
  reap(instance: string): Promise<number>;
}
