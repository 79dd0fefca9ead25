/**
 * Loaded by every Node program of the agent. Sends `fetch`, `http` and `https` through the proxy
 * that the environment names. Other programs do so by default, Node only from version 24 on.
 */
import http from 'node:http';
import https from 'node:https';
import { ProxyAgent } from 'proxy-agent';

http.globalAgent = new ProxyAgent();
https.globalAgent = new ProxyAgent();

/** Where `fetch` looks for its dispatcher. Like Node, we create it at the first call. */
const place = Symbol.for('undici.globalDispatcher.1');
Object.defineProperty(globalThis, place, {
  configurable: true,
  get() {
    Reflect.deleteProperty(globalThis, place);
    const { EnvHttpProxyAgent, setGlobalDispatcher } = require('undici') as typeof import('undici');
    const { emitWarning } = process;
    process.emitWarning = () => {}; // Or every program would print that it is experimental.
    const dispatcher = new EnvHttpProxyAgent();
    process.emitWarning = emitWarning;
    setGlobalDispatcher(dispatcher);
    return dispatcher;
  },
});
