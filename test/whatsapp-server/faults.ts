/** Faults that a test can switch on. At first there is only the usual delay of acknowledgements. */
export class Faults {
  /**
   * The delay of each message's ack, at random between the two, so that acks overtake each other.
   */
  ackDelayMs: [number, number] = [20, 40];
  /** One error for each of the next messages from the client, which are refused with it. */
  rejections: number[] = [];
  /** Every message to this group is refused with 463. */
  rejectedGroup: string | null = null;
  /** This many of the next messages are delivered but get no ack. */
  swallowedAcks = 0;
  /** This many of the next messages from the client arrive unreadable, so that phones ask again. */
  damaged = 0;
  /** This many of the next stanzas to the client are sent twice. */
  duplicates = 0;
  /** New connections are closed at once. */
  refusesConnections = false;
  /** Logins fail with this reason. */
  loginFailure: number | null = null;
  /** A device that is linked hears the account's name only from what its phone writes. */
  hidesName = false;
  /** Pings get no answer. */
  mutesPings = false;
  /** Queries that contain one of these get no answer, such as `usync` or `media_conn`. */
  mutedQueries: string[] = [];
  /** Added to every time stamp. */
  clockSkewSeconds = 0;
  /** The next answers of the media host, one for each request; after these it works again. */
  mediaAnswers: ('stall' | 'truncate' | number)[] = [];
  /** This many of the next uploads get no answer until they are resumed. */
  stalledUploads = 0;
  /**
   * Whether the owner's phone uploads expired media again when asked. If not, it does not answer.
   */
  phoneUploadsAgain = true;
  /** Whether the phone answers a request for expired media by saying that it has deleted it. */
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
