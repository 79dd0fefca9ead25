/** The measurements with WhatsApp, all on one linked host. */
import { startScriptedModel } from '../test/scripted-model/scripted-model.ts';
import { LinkedHost } from './linked.ts';
import { measureReceiving, talking } from './receiving.ts';

const number = /\bnumber (\d+)\./;

/** `dir` is a new folder for everybody's state. */
export async function measureWhatsApp(dir: string) {
  const model = await startScriptedModel();
  model.on(number).reply((_, { said }) => `Answer ${number.exec(said)?.[1]}.`);
  const linked = await LinkedHost.start(dir, model.url, { talking, asking: 1 });
  try {
    return await measureReceiving(linked);
  } finally {
    await linked.stop();
    await model.close();
  }
}
