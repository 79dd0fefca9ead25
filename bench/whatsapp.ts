/** The measurements with WhatsApp, all on one linked host. */
import { startScriptedModel } from '../test/scripted-model/scripted-model.ts';
import { LinkedHost } from './linked.ts';
import { measureReceiving } from './receiving.ts';

/** `dir` is a new folder for everybody's state. */
export async function measureWhatsApp(dir: string) {
  const model = await startScriptedModel();
  model
    .on(/number \d+\.$/m)
    .reply((_, { said }) => `Answer ${/number (\d+)\.\s*$/m.exec(said)?.[1]}.`);
  const linked = await LinkedHost.start({ dir, modelUrl: model.url, folders: ['warm'] });
  try {
    return await measureReceiving(linked);
  } finally {
    await linked.stop();
    await model.close();
  }
}
