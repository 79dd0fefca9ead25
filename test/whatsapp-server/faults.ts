/** What goes wrong on demand. Everything is off at first, but the acks' ordinary delay. */
export class Faults {
  /** Of every ack of a message: between the two, at random, so that acks overtake each other. */
  ackDelayMs: [number, number] = [20, 40];
  /** The next messages from the client are refused with this error. */
  rejections: number[] = [];
  /** So many of the next messages get no ack, though they are delivered. */
  swallowedAcks = 0;
  /** So many of the next messages from the client arrive unreadable: the phones ask again. */
  damaged = 0;
  /** So many of the next stanzas to the client are sent twice. */
  duplicates = 0;
  /** New connections are ended at once. */
  refusesConnections = false;
  /** Logins fail with this reason. */
  loginFailure: number | null = null;
  /** Pings get no answer. */
  mutesPings = false;
  /** Questions with these in them get no answer: `usync`, `media_conn`. */
  mutedQueries: string[] = [];
  /** Added to every time stamp. */
  clockSkewSeconds = 0;
  /** Answers of the media host, used up one by one; then it works again. */
  mediaAnswers: ('stall' | 'truncate' | number)[] = [];
  /** The owner's phone uploads expired media again when asked; otherwise it does not answer. */
  phoneUploadsAgain = true;
  /** Asked for expired media, the phone answers that it has deleted it. */
  phoneDeletedMedia = false;

  /** Seconds since 1970, as WhatsApp writes them. */
  now(): string {
    return String(Math.floor(Date.now() / 1000) + this.clockSkewSeconds);
  }

  nextAckDelayMs(): number {
    const [least, most] = this.ackDelayMs;
    return least + Math.random() * (most - least);
  }
}
