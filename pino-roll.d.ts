/** The part of pino-roll that we use; the package ships no types. */
declare module 'pino-roll' {
  import type { DestinationStream } from 'pino';
  export default function roll(options: {
    file: string;
    extension: string;
    size: string;
    limit: { count: number };
  }): Promise<DestinationStream>;
}
