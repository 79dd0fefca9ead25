/**
 * Puts into words what a phone shows as a card: a place, contacts, a poll, an event, an invitation.
 * Pure. The words are nobody's own, and clipped by the caller.
 */
import type { proto } from 'baileys';
import { clip } from '../../text.ts';

type Content = proto.IMessage;

const itemsMax = 100;

/** Undefined for other kinds of content. Of contacts, takes `max` characters in all. */
export function description(content: Content, max: number): string | undefined {
  const { locationMessage, liveLocationMessage, contactMessage, contactsArrayMessage } = content;
  if (locationMessage) return describePlace(locationMessage);
  if (liveLocationMessage) return `${describePlace(liveLocationMessage)} (live)`;
  const contacts = contactMessage ? [contactMessage] : contactsArrayMessage?.contacts;
  if (contacts)
    return contacts
      .slice(0, itemsMax)
      .map((contact) => describeContact(contact, max / contacts.length))
      .join('\n');
  return pollText(content) || eventText(content) || inviteText(content);
}

type Place = proto.Message.ILocationMessage & proto.Message.ILiveLocationMessage;

function describePlace(place: Place): string {
  const at = `${place.degreesLatitude ?? 0},${place.degreesLongitude ?? 0}`;
  const words = [place.name, place.address, place.comment, place.caption, at];
  return `[location: ${words.filter(Boolean).join(', ')}]`;
}

/** Name, numbers and addresses of a vCard (RFC 6350). */
function describeContact(
  { displayName, vcard }: proto.Message.IContactMessage,
  max: number,
): string {
  const lines = clip(vcard ?? '', max).split(/\r?\n/);
  const details = lines.flatMap(
    (line) => /^(?:item\d+\.)?(?:TEL|EMAIL)[^:]*:(.+)/i.exec(line)?.[1] ?? [],
  );
  return `[contact: ${[displayName ?? 'no name', ...details.slice(0, itemsMax)].join(', ')}]`;
}

function pollText(content: Content): string | undefined {
  const poll =
    content.pollCreationMessage ??
    content.pollCreationMessageV2 ??
    content.pollCreationMessageV3 ??
    content.pollCreationMessageV5;
  if (!poll) return undefined;
  const options = (poll.options ?? []).slice(0, itemsMax);
  return [
    `[poll: ${poll.name ?? ''}]`,
    ...options.map((each) => `- ${each.optionName ?? ''}`),
  ].join('\n');
}

function eventText({ eventMessage }: Content): string | undefined {
  if (!eventMessage) return undefined;
  const { name, startTime, location, description, isCanceled } = eventMessage;
  const start = new Date(Number(startTime ?? Number.NaN) * 1000);
  const time = Number.isNaN(start.getTime()) ? '' : start.toISOString();
  const words = [isCanceled && 'cancelled', name, time, location?.name, description];
  return `[event: ${words.filter(Boolean).join(', ')}]`;
}

function inviteText(content: Content): string | undefined {
  const { groupInviteMessage, placeholderMessage } = content;
  if (groupInviteMessage)
    return `[invitation to the group ${groupInviteMessage.groupName ?? ''}] ${groupInviteMessage.caption ?? ''}`;
  if (placeholderMessage) return '[a message that only the phone shows]';
  return undefined;
}
