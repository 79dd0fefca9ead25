/** The interface of the container runtimes: a description goes in, a command line comes out. */

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
  /** The agent's uid on the host, where the host or the runtime's engine is root. */
  uid: number;
  mounts: Mount[];
  /** Holds no secret, because `ps` may show it. */
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
  /** Written to the file descriptors 3, 4, ..., which are then closed. */
  feeds: Buffer[];
}

export interface Runtime {
  readonly name: string;
  /** Whether agents have a kernel of their own, which needs no filter on system calls. */
  readonly hasOwnKernel: boolean;
  /** One line for the report at start, which also says what cannot be limited here. */
  describe(): string;
  /** Says how to start the container, and prepares the limits under which it starts. */
  launch(spec: ContainerSpec): Launch;
  /** Kills everything in the container. Resolves once it is gone, also when it never was there. */
  kill(name: string): Promise<void>;
  /** Removes what `launch` prepared, once the container has ended. */
  release(name: string): Promise<void>;
  /** Kills the containers that an earlier host left; resolves to their number. */
  reap(instance: string): Promise<number>;
}
