/** The history that a newly linked device receives once: people's names and earlier messages. */
import { deflateSync } from 'node:zlib';
import { generateMessageIDV2, proto } from 'baileys';
import type { Peer } from './peers.ts';

export interface PastMessage {
  by: Peer;
  text: string;
  atSeconds: number;
}

/** The message from the phone that carries the history. */
export function historyMessage(peers: Peer[], past: PastMessage[]): proto.IMessage {
  const { HistorySync, Message } = proto;
  const syncType = HistorySync.HistorySyncType.INITIAL_BOOTSTRAP;
  const facts = { syncType, chunkOrder: 0, progress: 100 };
  const bytes = HistorySync.encode({
    ...facts,
    conversations: peers.flatMap((peer) => conversation(peer, past)),
    phoneNumberToLidMappings: peers.map(({ addresses }) => ({
      pnJid: addresses.pn,
      lidJid: addresses.lid,
    })),
    pushnames: peers.map(({ addresses, name }) => ({ id: addresses.pn, pushname: name })),
  }).finish();
  return {
    protocolMessage: {
      type: Message.ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION,
      historySyncNotification: {
        ...facts,
        initialHistBootstrapInlinePayload: deflateSync(bytes),
      },
    },
  };
}

function conversation(peer: Peer, past: PastMessage[]): proto.IConversation[] {
  const own = past.filter(({ by }) => by === peer);
  if (own.length === 0) return [];
  const { pn, lid } = peer.addresses;
  const messages = own.map(({ text, atSeconds }) => ({
    message: {
      key: { remoteJid: lid, fromMe: false, id: generateMessageIDV2(pn) },
      message: { conversation: text },
      messageTimestamp: atSeconds,
    },
  }));
  return [{ id: lid, pnJid: pn, displayName: peer.name, messages }];
}
