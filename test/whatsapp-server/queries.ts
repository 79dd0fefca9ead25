/** The server's answers to the client's queries (`iq` nodes). */
import { bundleNode } from './account.ts';
import { groupNode } from './groups.ts';
import {
  type BinaryNode,
  bigEndian,
  child,
  childBytes,
  children,
  firstChild,
  node,
  numberHost,
} from './nodes.ts';
import type { Peer } from './peers.ts';
import type { WhatsAppWorld } from './world.ts';

/** The content of the answer, an error's code, or null for no answer. */
export type Answer = BinaryNode[] | undefined | { error: number } | null;

type Query = (
  world: WhatsAppWorld,
  iq: BinaryNode,
  operation: BinaryNode,
) => Answer | Promise<Answer>;

/** The key is namespace, type and the operation's name. */
const queries: Record<string, Query> = {
  'encrypt/get/count': ({ companion }) => [
    node('count', { value: String(companion?.preKeys.length ?? 0) }),
  ],
  'encrypt/get/digest': (world) => [
    node('digest', {}, [node('registration', {}, bigEndian(world.linked().registrationId))]),
  ],
  'encrypt/set/registration': takePreKeys,
  'encrypt/set/rotate': () => undefined,
  'encrypt/get/key': async (world, _, operation) => [
    node('list', {}, await bundles(world, children(operation, 'user'))),
  ],
  'w:p/get/ping': ({ faults }) => (faults.mutesPings ? null : undefined),
  'abt/get/props': () => [node('props', { hash: 'h1' }, [])],
  'blocklist/get/': () => [node('list', {}, [])],
  'privacy/get/privacy': () => [
    node('privacy', {}, [node('category', { name: 'readreceipts', value: 'all' })]),
  ],
  'usync/get/usync': (world, _, operation) => whoIs(world, operation),
  'w:g2/get/query': ({ groups, faults }, { attrs }) => {
    const group = groups.get(attrs.to ?? '');
    return group ? [groupNode(group, faults.now())] : { error: 404 };
  },
  'w:g2/get/participating': ({ groups, faults }) => [
    node(
      'groups',
      {},
      [...groups.values()].map((group) => groupNode(group, faults.now())),
    ),
  ],
  'w:m/set/media_conn': ({ media }) => [
    node('media_conn', { auth: 'AUTH', ttl: '300' }, [node('host', { hostname: media.name })]),
  ],
  'w:sync:app:state/set/sync': (_world, _iq, operation) => [
    node(
      'sync',
      {},
      children(operation, 'collection').map(({ attrs }) =>
        node('collection', { name: attrs.name ?? '', version: '0' }),
      ),
    ),
  ],
  'md/set/remove-companion-device': (world) => {
    world.linked().isRemoved = true;
    world.changed();
    return undefined;
  },
  'md/set/link_code_companion_reg': (world, _, operation) => {
    if (operation.attrs.stage === 'companion_hello') return [world.requestCode(operation)];
    return world.finishCode(operation);
  },
  'w:profile:picture/get/picture': () => ({ error: 404 }),
};

/** Answers a query. An unknown one gets an empty result. */
export async function answer(world: WhatsAppWorld, iq: BinaryNode): Promise<Answer> {
  const operation = firstChild(iq);
  if (world.faults.mutedQueries.includes(operation?.tag ?? '')) {
    world.unanswered += 1;
    return null;
  }
  const query = queries[`${iq.attrs.xmlns}/${iq.attrs.type}/${operation?.tag ?? ''}`];
  return query?.(world, iq, operation ?? node('none'));
}

function takePreKeys(world: WhatsAppWorld, iq: BinaryNode): Answer {
  const keys = children(child(iq, 'list'), 'key').map((key) => ({
    keyId: childBytes(key, 'id').readUIntBE(0, 3),
    publicKey: childBytes(key, 'value'),
  }));
  world.linked().preKeys.push(...keys);
  return undefined;
}

async function bundles(world: WhatsAppWorld, users: BinaryNode[]): Promise<BinaryNode[]> {
  const found: BinaryNode[] = [];
  for (const { attrs } of users) {
    const jid = attrs.jid ?? '';
    const peer = world.findPeer(jid);
    if (world.isCompanion(jid)) found.push(bundleNode(world.linked(), jid));
    else if (peer) found.push(await peer.bundle(jid));
    else found.push(node('user', { jid }, [node('error', { code: '404', text: 'not found' })]));
  }
  return found;
}

/** Tells which of the accounts exist, with their devices and LIDs. */
function whoIs(world: WhatsAppWorld, operation: BinaryNode): Answer {
  const asked = child(operation, 'query')?.content;
  const protocols = Array.isArray(asked) ? asked.map(({ tag }) => tag) : [];
  const list = children(child(operation, 'list'), 'user').map((user) => {
    const contact = child(user, 'contact')?.content;
    const number = contact instanceof Uint8Array ? Buffer.from(contact).toString() : '';
    const jid = user.attrs.jid ?? `${number.replace('+', '')}@${numberHost}`;
    return node('user', { jid }, describe(world, world.findPeer(jid), protocols));
  });
  return [node('usync', {}, [node('result'), node('list', {}, list)])];
}

function describe(world: WhatsAppWorld, peer: Peer | undefined, protocols: string[]): BinaryNode[] {
  const parts: BinaryNode[] = [];
  if (protocols.includes('contact')) parts.push(node('contact', { type: peer ? 'in' : 'out' }));
  if (!peer) return parts;
  if (protocols.includes('devices')) {
    const devices = [node('device', { id: '0' })];
    const { companion } = world;
    if (peer === world.owner && companion)
      devices.push(node('device', { id: String(companion.device), 'key-index': '1' }));
    parts.push(node('devices', {}, [node('device-list', {}, devices)]));
  }
  if (protocols.includes('lid')) parts.push(node('lid', { val: peer.addresses.lid }));
  return parts;
}
