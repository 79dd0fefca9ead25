/**
 * What an agent can send besides the final text of its turn: messages, files and reactions. Limits
 * their number in a turn. Does not decide where they go: that is the agent's voice.
 */
import { randomUUID } from 'node:crypto';
import { basename, join, posix } from 'node:path';
import mime from 'mime';
import { z } from 'zod';
import { retention } from '../../config.ts';
import { findMessage } from '../../db/messages.ts';
import { countOfTurn, sumFileBytes } from '../../db/outbox.ts';
import { findLastTurnId } from '../../db/turns.ts';
import type { Feature, FeatureHost } from '../../feature.ts';
import { stripInternal } from '../../format.ts';
import type { Outcome } from '../../outcome.ts';
import { inside, textMax } from '../../protocol.ts';
import { copyInside } from '../../safe-open.ts';
import { fileName } from '../../text.ts';
import { defineTool, type Tool } from '../../tools.ts';
import { type Agent, type OutboundContent, type OutboundFile, UserError } from '../../types.ts';

export const speech: Feature = {
  name: 'speech',
  migrations: [],
  create: (host) => ({ tools: [sendMessage(host), sendFile(host), react(host)] }),
};

/** Files and reactions exist in a chat only. */
const hasChat = ({ voice }: Agent) => voice?.kind === 'chat';

function sendMessage(host: FeatureHost): Tool {
  return defineTool({
    name: 'send_message',
    description:
      'Sends a message to the chat at once, while you go on working. Your final text is sent by itself: do not send it twice.',
    args: z.strictObject({ text: z.string().min(1).max(textMax) }),
    mayUse: hasChat,
    prepare: async ({ agent, args }) => {
      const text = stripInternal(args.text);
      if (!text) throw new UserError('There is nothing to send.');
      return says(host, agent, { kind: 'text', text, about: null }, 'Sent.');
    },
  });
}

function sendFile(host: FeatureHost): Tool {
  return defineTool({
    name: 'send_file',
    description:
      'Sends a file of your group folder to the chat, with an optional caption. Pictures show as pictures, .ogg with Opus as a voice note.',
    args: z.strictObject({
      /** As the container sees it. */
      path: z.string().min(1).max(4096),
      caption: z.string().max(4096).optional(),
    }),
    mayUse: hasChat,
    prepare: async ({ agent, args }) => {
      admit(host, agent);
      const file = await takeFile(host, agent, args.path);
      const text = stripInternal(args.caption ?? '');
      const answer = `Sent ${file.name} (${file.sizeBytes} bytes).`;
      return says(host, agent, { kind: 'file', file, text, about: null }, answer);
    },
  });
}

function react(host: FeatureHost): Tool {
  return defineTool({
    name: 'react',
    description:
      'Puts an emoji on a message of this chat; message_id is the id attribute of the message.',
    args: z.strictObject({
      message_id: z.string().min(1).max(200),
      /** Empty takes the reaction back. */
      emoji: z.string().max(32),
    }),
    mayUse: hasChat,
    prepare: async ({ agent, args }) => {
      admit(host, agent);
      const { voice } = agent;
      const message =
        voice?.kind === 'chat' && findMessage(host.store, voice.chatId, args.message_id);
      if (!message) throw new UserError('There is no such message in this chat.');
      const about = { messageId: message.id, senderId: message.sender.id, text: message.text };
      return says(host, agent, { kind: 'reaction', emoji: args.emoji, about }, 'Done.');
    },
  });
}

function says(host: FeatureHost, agent: Agent, content: OutboundContent, answer: string): Outcome {
  return {
    commit: () => {
      host.agents.say(agent, content, admit(host, agent));
      return answer;
    },
  };
}

/** The turn to which it counts: the open one, or else the latest. Throws UserError at the limit. */
function admit({ store, limits }: FeatureHost, { id }: Agent): number {
  const turnId = findLastTurnId(store, id);
  if (turnId === undefined || countOfTurn(store, turnId) >= limits.messagesPerTurnMax)
    throw new UserError(
      `You have sent ${limits.messagesPerTurnMax} messages in this turn, which is the most. Say the rest in your answer.`,
    );
  return turnId;
}

/** Copies the file, so that nothing can change it before it is sent. Throws UserError. */
async function takeFile(
  { config, limits, store, clock }: FeatureHost,
  { group, voice }: Agent,
  insidePath: string,
): Promise<OutboundFile> {
  const chatId = voice?.kind === 'chat' ? voice.chatId : '';
  const keptBytes = sumFileBytes(store, chatId, clock.now() - retention.filesMs);
  if (keptBytes + limits.sendFileBytesMax > limits.sentFilesBytesMax)
    throw new UserError(
      `The files that you have sent fill ${keptBytes} of the ${limits.sentFilesBytesMax} bytes that are kept. Send no more for some days.`,
    );
  const name = basename(insidePath);
  const hostPath = join(config.filesDir, `${randomUUID()}-${fileName(name)}`);
  const sizeBytes = await copyInside(
    join(config.groupsDir, group.folder),
    posix.relative(inside.group, posix.resolve(inside.group, insidePath)),
    hostPath,
    { bytesMax: limits.sendFileBytesMax },
  );
  return { hostPath, name, mime: mime.getType(name) ?? 'application/octet-stream', sizeBytes };
}
