/** Links a device by a pairing code with `npm run link -- --code`, and plays the phone's part. */
import type { WhatsAppServer } from '../whatsapp-server/client.ts';
import { HostProcess } from './host-process.ts';

/** Waits for the code that `link` shows and enters it on the phone. */
export async function enterShownCode(link: HostProcess, server: WhatsAppServer): Promise<void> {
  const [, left = '', right = ''] = await link.says(/\b([0-9A-Z]{4})-([0-9A-Z]{4})\b/);
  await server.do('enterCode', { code: left + right });
}

/** Links the account with this number. `who` is the options that name the main chat. */
export async function linkByCode(
  environment: Record<string, string>,
  server: WhatsAppServer,
  number: string,
  who: string[],
): Promise<void> {
  const link = new HostProcess(environment, { args: ['link', '--code', `+${number}`, ...who] });
  await enterShownCode(link, server);
  await link.exited;
  if (link.child.exitCode !== 0) throw new Error(`not linked: ${link.output}`);
}
