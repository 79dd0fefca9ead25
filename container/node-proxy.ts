/**
 * Loaded by every Node program of the agent: sends `fetch`, `http` and `https` through the proxy
 * of the environment, as other programs do by themselves and Node only from version 24 on.
 */
import http from 'node:http';
import https from 'node:https';
import { ProxyAgent } from 'proxy-agent';

http.globalAgent = new ProxyAgent();
https.globalAgent = new ProxyAgent();

/** Where `fetch` looks for its connections. Node makes them at the first call, and so do we. */
const place = Symbol.for('undici.globalDispatcher.1');
Object.defineProperty(globalThis, place, {
  configurable: true,
  get() {
    Reflect.deleteProperty(globalThis, place);
    const { EnvHttpProxyAgent, setGlobalDispatcher } = require('undici') as typeof import('undici');
    const { emitWarning } = process;
    process.emitWarning = () => {}; // That it is experimental, in each program's output.
    const dispatcher = new EnvHttpProxyAgent();
    process.emitWarning = emitWarning;
    setGlobalDispatcher(dispatcher);
    return dispatcher;
  },
});
