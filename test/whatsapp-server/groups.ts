/** Groups: their members, and the notifications about changes. */
import { jidDecode } from 'baileys';
import { type BinaryNode, node } from './nodes.ts';
import type { Peer } from './peers.ts';

export interface Group {
  /** `...@g.us` */
  jid: string;
  subject: string;
  /** The first one is the admin. */
  members: Peer[];
}

export function groupNode({ jid, subject, members }: Group, now: string): BinaryNode {
  const attrs = {
    id: jidDecode(jid)?.user ?? '',
    subject,
    s_t: now,
    creation: now,
    creator: members[0]?.addresses.lid ?? '',
    addressing_mode: 'lid',
    size: String(members.length),
  };
  const participants = members.map((member, index) =>
    participantNode(member, index === 0 ? { type: 'superadmin' } : {}),
  );
  return node('group', attrs, participants);
}

export function participantNode(member: Peer, more: Record<string, string> = {}): BinaryNode {
  const { lid, pn } = member.addresses;
  return node('participant', { jid: lid, phone_number: pn, ...more });
}

/** The notification that members get when `by` changes something. */
export function groupNotification(
  group: Group,
  by: Peer,
  change: BinaryNode,
  { id, t }: { id: string; t: string },
): BinaryNode {
  const { lid, pn } = by.addresses;
  const attrs = { id, t, from: group.jid, type: 'w:gp2', participant: lid, participant_pn: pn };
  return node('notification', attrs, [change]);
}
