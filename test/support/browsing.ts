/** Agents that use the web through programs: what they run, and which certificates they trust. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Internet } from '../internet/internet.ts';
import { trusting } from '../internet/registries.ts';
import type { App } from './app.ts';

/** Has the group's agent run a command in one turn. Resolves to everything that it prints. */
export async function runs(app: App, command: string, group = 'main'): Promise<string> {
  const word = `run ${crypto.randomUUID()}`;
  // Ends with `true`: for a command that fails, the tool would add its exit code.
  const input = { command: `exec 2>&1\n${command}\ntrue` };
  app.model
    .on(word)
    .callTool('Bash', input)
    .thenReply((result) => result);
  const person = await app.attach(group);
  await person.say(group === 'main' ? word : `@Andy ${word}`);
  const said = await person.nextText();
  await person.settled();
  person.leave();
  return said;
}

/** Makes the group's agent, `claude` itself included, trust the certificates of this internet. */
export function trust(app: App, { authorityFile }: Internet, group = 'main'): void {
  mkdirSync(app.inGroup(group, '.claude'), { recursive: true });
  copyFileSync(authorityFile, app.inGroup(group, 'authority.pem'));
  const env = trusting(join('/workspace/group', 'authority.pem'));
  writeFileSync(app.inGroup(group, '.claude', 'settings.json'), JSON.stringify({ env }));
}
