/** The thread in which texts are formatted, one at a time. */
import { parentPort } from 'node:worker_threads';
import { layOut } from './format.ts';

parentPort?.on('message', ({ text, max }: { text: string; max: number }) => {
  parentPort?.postMessage(layOut(text, max));
});
parentPort?.postMessage('ready');
