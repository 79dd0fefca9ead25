/**
 * The model that answers while no credential is configured: a script, as each answer says. It has
 * the agent run real commands in its container and repeats what they printed. It understands
 * nothing and makes nothing up.
 */
import type { ModelAccess } from '../../config.ts';
import { oneLine } from '../../text.ts';
import {
  type MessagesServer,
  type ModelCall,
  startMessagesServer,
  toolUse,
} from './messages-server.ts';

const mark = '[demo model]';
const hint =
  'I am a built-in script, not Claude. To talk to Claude, put ANTHROPIC_API_KEY=... into .env and run `npm start` again.';
/** Longest fact that is remembered, in UTF-16 units. */
const factMax = 1000;

/** A shell script that prints what an agent can find out about its container, as sentences. */
const lookAround = `
echo "I ran a command in my container. I am user $(id -u) of group $(id -g) there."
for folder in /workspace/*/; do
  if [ -w "$folder" ]; then may='read and write'; else
    may='only read'
    for inner in "$folder"*/; do [ -w "$inner" ] && may="$may, but write in $inner"; done
  fi
  echo "I see the folder $folder, which I may $may."
done
others=$(tail -n +3 /proc/net/dev | cut -d: -f1 | grep -vw lo)
if [ -z "$others" ]; then
  echo 'I see no network: there is no interface but loopback.'
else
  echo "I DO see a network:" $others
fi
while read -r _ place _ flags _; do [ "$place" = / ] && root=$flags; done < /proc/mounts
case ",$root," in
  *,ro,*) echo 'The root file system is read-only.' ;;
  *) echo 'The root file system is NOT read-only.' ;;
esac`;

const recall = `
if [ -s CLAUDE.md ]; then
  echo 'This is in CLAUDE.md in my folder:'
  tail -n 40 CLAUDE.md
else
  echo 'There is no CLAUDE.md in my folder yet.'
fi`;

/** Reached in the same way as the real API. */
export type DemoModel = MessagesServer & ModelAccess;

/** Starts the demo model on loopback. */
export async function startDemoModel(assistantName: string): Promise<DemoModel> {
  const server = await startMessagesServer({
    reply: (call) => {
      const followUp = call.followUps.findLast((text) => text.includes('<message '));
      const result = call.toolResults.at(-1);
      if (!hasBash(call)) return say('<summary>I cannot summarise.</summary>');
      if (result !== undefined && !followUp) return say(result);
      const text = lastMessage(followUp ?? call.lastUserText);
      const command = chooseCommand(text, assistantName);
      return [toolUse('Bash', { command })];
    },
  });
  return {
    ...server,
    label: 'the built-in DEMO MODEL, not Claude',
    baseUrl: server.url,
    credential: { kind: 'api-key', secret: 'demo' },
  };
}

function say(text: string): string {
  return `${mark} ${text.trim()}\n\n${hint}`;
}

/**
 * Whether this call belongs to a turn. Requests to summarise or to name a conversation have no
 * tools.
 */
function hasBash({ body, lastUserText }: ModelCall): boolean {
  const tools = JSON.stringify(body.tools ?? []);
  return tools.includes('"name":"Bash"') && !lastUserText.includes('Respond with TEXT ONLY');
}

function chooseCommand(text: string, assistantName: string): string {
  const request = text.replace(`@${assistantName}`, '').trim();
  const fact = /^(?:please )?remember(?: that)?[\s:,]+(.+)/is.exec(request)?.[1];
  if (fact) return rememberCommand(fact);
  if (/\bremember\b/i.test(request)) return recall;
  return lookAround;
}

function rememberCommand(fact: string): string {
  const line = `- ${oneLine(fact, factMax)}`;
  // Within single quotes, a shell gives a meaning only to the single quote.
  const quoted = `'${line.replaceAll("'", "'\\''")}'`;
  return `
printf '%s\\n' ${quoted} >> CLAUDE.md || exit
echo 'I will remember that. The last line of CLAUDE.md in my folder is now:'
tail -n 1 CLAUDE.md`;
}

/**
 * The text of the last `<message>` in a prompt. Without any: the whole prompt but the reminders.
 */
function lastMessage(prompt: string): string {
  const messages = [...prompt.matchAll(/<message\b[^>]*>([\s\S]*?)<\/message>/g)];
  const text = messages.at(-1)?.[1]?.replace(/<quote\b[\s\S]*?<\/quote>|<attachment\b[^>]*>/g, '');
  if (text === undefined)
    return prompt.replace(/<system-reminder>[\s\S]*?<\/system-reminder>/g, '');
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');
}
