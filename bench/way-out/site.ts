/** What the programs of this measurement share: the addresses of the web, and the requests. */

export const webHost = 'web.example';
/** A public address that belongs to this machine in the network namespace of the measurement. */
export const webAddress = '11.0.0.1';
export const httpPort = 80;
/** Without TLS: one byte asks for a stream of `streamBytes`, down or up. */
export const streamPort = 443;
export const streamBytes = 200e6;
export const askDown = 'd';
export const askUp = 'u';

/** What a client does, over the wire or directly. */
export const kinds = ['down', 'up', 'newTunnel', 'openTunnel', 'plain', 'modelCall'] as const;
export type Kind = (typeof kinds)[number];

/** As large as an agent's first call: 28 kB. */
export const modelCallBody = JSON.stringify({
  model: 'm',
  messages: [{ role: 'user', content: 'word '.repeat(5500) }],
});
