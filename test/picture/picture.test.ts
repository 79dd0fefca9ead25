/**
 * The picture at the top of README.md: a conversation as the owner's phone has it, with the real
 * host, containers, SDK and Baileys between the phone and the model. The model's words are a
 * script; whatever stands in them of files, commands and pages is what the agent found.
 * `npm run picture` draws it anew; as a test it holds the picture true.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { toolUse } from '../../src/cli/demo/messages-server.ts';
import { Internet, needsInternet } from '../internet/internet.ts';
import { page } from '../internet/pages.ts';
import { alice, assistant, bob, family, LinkedHost, owner } from '../support/linked-host.ts';
import type { Person } from '../whatsapp-server/account.ts';
import type { HeardFilter, WhatsAppServer } from '../whatsapp-server/client.ts';
import type { Content } from '../whatsapp-server/contents.ts';
import type { HeardMessage } from '../whatsapp-server/peers.ts';
import { type Bubble, drawChats } from './draw.ts';

const assistantName = 'Andy';
const expenses = `day,what,paid by,euros
1,train,Olivia,48.20
1,dinner,Bob,61.50
2,two rooms,Olivia,180.00
2,surfing,Bob,76.00
3,pastries,Olivia,34.10
3,taxi,Bob,38.00
`;
const programme = `Saturday
Hall 1  14:30  Paddington
Hall 2  15:00  The Third Man
Hall 1  17:00  Paddington
`;

test('the picture in README.md is what a phone sees', needsInternet, async () => {
  const internet = await Internet.start();
  await internet.host('cinema.example', page(programme));
  const host = await LinkedHost.start({ withGroup: true });
  const main = new Phone(host, null);
  const group = new Phone(host, family);
  await settleExpenses(host, main);
  await stopEndlessWork(host, main);
  await askTheCinema(host, main, group);
  const [mainChat = '', familyChat = ''] = drawChats([
    { title: assistantName, subtitle: 'online', isGroup: false, bubbles: await main.bubbles() },
    {
      title: 'Family',
      subtitle: 'Alice, Andy, Bob, You',
      isGroup: true,
      bubbles: await group.bubbles(),
    },
  ]);
  const docs = join(import.meta.dirname, '../../docs');
  await expect(mainChat).toMatchFileSnapshot(join(docs, 'conversation.svg'));
  await expect(familyChat).toMatchFileSnapshot(join(docs, 'conversation-in-a-group.svg'));
});

/** A file is read by a real program in the container, and what the owner wants is remembered. */
async function settleExpenses({ model }: LinkedHost, phone: Phone): Promise<void> {
  const sums = `awk -F, '{paid[$3] += $4} END {print paid["Olivia"], paid["Bob"]}' media/*`;
  model
    .on('Who owes whom')
    .callTool('Bash', { command: sums })
    .thenReply((result) => {
      const [own = 0, other = 0] = result.split(' ').map(Number);
      const euros = (amount: number) => `€${amount.toFixed(2)}`;
      return `Bob owes you **${euros((own - other) / 2)}**. You paid ${euros(own)} and he paid ${euros(other)}.`;
    });
  await phone.says(owner, {
    kind: 'document',
    base64: Buffer.from(expenses).toString('base64'),
    name: 'lisbon.csv',
    mime: 'text/csv',
    caption: 'Lisbon with Bob. Who owes whom?',
  });
  await phone.hears({ text: '^Bob owes you' });

  model
    .on('Remember')
    .callTool('Bash', { command: 'echo "- Olivia and Bob split evenly." >> CLAUDE.md' })
    .answer((call) => {
      const [, message_id = ''] = /<message id="([^"]+)"/.exec(call.lastUserText) ?? [];
      const input = { message_id, emoji: '👍' };
      return [toolUse('mcp__nanoclaw__react', input)];
    })
    .thenReply('<internal>Noted; the thumb says it.</internal>');
  await phone.says(owner, 'Remember that we always split evenly');
  await phone.hears({ kind: 'reaction' });
}

async function stopEndlessWork({ model }: LinkedHost, phone: Phone): Promise<void> {
  model
    .on('digits of pi')
    .callTool('mcp__nanoclaw__send_message', { text: 'On it. This may take a while.' })
    .thenCallTool('Bash', { command: 'while :; do :; done' });
  await phone.says(owner, 'And all the digits of pi, please');
  await phone.hears({ text: '^On it' });
  await model.call(({ toolResults }) => toolResults.includes('Sent.'));
  await phone.says(owner, '/stop');
  await phone.hears({ text: '^Stopped' });
}

/** A host that the group may not reach, until the owner says ok. */
async function askTheCinema({ model }: LinkedHost, main: Phone, group: Phone): Promise<void> {
  const command = 'curl -sS http://cinema.example/';
  model
    .on('what is on')
    .callTool('Bash', { command })
    .thenReply((result) =>
      /^cinema.example is not among the hosts/.test(result)
        ? 'I may not look there: cinema.example is not among the hosts that this group may reach. Olivia has been asked.'
        : result,
    );
  await group.says(alice, 'Cinema on Saturday?');
  await group.says(bob, 'Only if they show the one with the bear');
  await group.says(alice, '@Andy what is on at cinema.example?');
  await group.hears({ text: '^I may not look' });
  const notice = await main.hears({ text: 'reach "cinema.example"' });
  const quote = { messageId: notice.id, participant: `${assistant.lid}@lid`, text: notice.text };
  model
    .on('is approved')
    .callTool('Bash', { command: `${command} | tee programme.txt | grep Paddington` })
    .thenCallTool('mcp__nanoclaw__send_file', { path: 'programme.txt' })
    .answer(({ body }) => {
      const times = JSON.stringify(body.messages).match(/(?<=Hall 1 +)\d\d:\d\d/g) ?? [];
      const found = [...new Set(times)].join(' and ');
      return `Good news for Bob: **Paddington**, at ${found}, in hall 1.`;
    });
  await main.says(owner, { kind: 'text', text: 'ok', quote });
  await main.hears({ text: '^family may reach cinema.example' });
  await group.hears({ kind: 'document' });
  const answer = await group.hears({ text: '^Good news' });
  await group.says(alice, { kind: 'reaction', messageId: answer.id, emoji: '❤️', ofBot: true });
}

/** One chat as the owner's phone has it: what people say there, and what has really arrived. */
class Phone {
  readonly #server: WhatsAppServer;
  readonly #group: string | null;
  readonly #bubbles: (Bubble & { id: string })[] = [];

  constructor({ server }: LinkedHost, group: string | null) {
    this.#server = server;
    this.#group = group;
  }

  async says(by: Person, content: string | Content): Promise<void> {
    const said = typeof content === 'string' ? { kind: 'text' as const, text: content } : content;
    const group = this.#group ?? undefined;
    const id = await this.#server.do('send', {
      by: by.number,
      content: said,
      ...(group && { group }),
    });
    if (said.kind === 'reaction') this.#react(said);
    else this.#bubbles.push({ id, from: by === owner ? null : by.name, ...this.#bubbleOf(said) });
  }

  /** Waits for what the assistant says here. */
  async hears(filter: HeardFilter): Promise<HeardMessage> {
    const heard = await this.#server.hears(owner.number, { group: this.#group, ...filter });
    const { id, text, quotedId, file, reaction } = heard;
    if (reaction) this.#react(reaction);
    else
      this.#bubbles.push({
        id,
        from: assistantName,
        text,
        quote: this.#quote(quotedId),
        file: file ? { name: file.name ?? '', sizeBytes: sizeOf(file.base64) } : undefined,
      });
    return heard;
  }

  /** As it stands now, with the ticks of what the assistant has read. */
  async bubbles(): Promise<Bubble[]> {
    const { receipts } = await this.#server.do('seen', { by: owner.number });
    const isRead = (id: string) => receipts.some((each) => each.id === id && each.type === 'read');
    return this.#bubbles.map((bubble) => ({ ...bubble, isRead: isRead(bubble.id) }));
  }

  #bubbleOf(content: Content): Omit<Bubble, 'from'> {
    if (content.kind === 'text')
      return { text: content.text, quote: this.#quote(content.quote?.messageId ?? null) };
    if (content.kind === 'document') {
      const file = { name: content.name ?? '', sizeBytes: sizeOf(content.base64) };
      return { text: content.caption ?? '', file };
    }
    throw new Error(`the picture cannot show a ${content.kind}`);
  }

  #quote(id: string | null): Bubble['quote'] {
    const quoted = this.#bubbles.find((bubble) => bubble.id === id);
    return quoted && { from: quoted.from ?? 'You', text: quoted.text };
  }

  #react({ messageId, emoji }: { messageId: string; emoji: string }): void {
    const about = this.#bubbles.find(({ id }) => id === messageId);
    if (!about) throw new Error('a reaction to a message that is not in the picture');
    about.reaction = emoji;
  }
}

function sizeOf(base64: string): number {
  return Buffer.from(base64, 'base64').length;
}
