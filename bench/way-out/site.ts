/** What the programs of this measurement know of each other: where the web is, and what to ask. */

export const webHost = 'web.example';
/** Public to look at, this machine's in the network namespace that all of it runs in. */
export const webAddress = '11.0.0.1';
export const httpPort = 80;
/** Not TLS: one byte asks for a stream, down or up, of so many bytes. */
export const streamPort = 443;
export const streamBytes = 200e6;
export const askDown = 'd';
export const askUp = 'u';

/** What a client does, by the wire or directly. */
export const kinds = ['down', 'up', 'newTunnel', 'openTunnel', 'plain', 'modelCall'] as const;
export type Kind = (typeof kinds)[number];

/** As large as an agent's first call, 28 kB. */
export const modelCallBody = JSON.stringify({
  model: 'm',
  messages: [{ role: 'user', content: 'word '.repeat(5500) }],
});
