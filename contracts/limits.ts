/**
 * Every limit of the runtime, named once, with the relations between them asserted at load.
 * Units are the last word of each name.
 */

export const DAY_MS = 86_400_000;

export const LIMITS = {
  /** Longest id accepted from outside, in UTF-16 code units. */
  idChars: 256,
  /** Largest HTTP body of a message or document. */
  bodyBytes: 1_048_576,
  /** Longest text of one user message, all its parts together. */
  messageTextChars: 32_000,
  /** Most parts in one message. */
  messageParts: 32,
  /** Largest knowledge document text. */
  documentTextChars: 500_000,
  /** Largest payload NATS carries; the embedded server is configured to it. */
  payloadBytes: 8_388_608,
  /** Largest encoded actor record; a bigger state is refused with an error naming this limit. */
  stateBytes: 4_194_304,
  /** Largest encoded actor record that carries nothing new but the giving up of a message: it must always fit. */
  recordBytes: 6_291_456,
  /** Largest encoded envelope. */
  envelopeBytes: 2_097_152,
  /** Deepest nesting the codec accepts. */
  codecDepth: 64,
  /** Exact message ids each actor remembers. */
  processedIds: 256,
  /** Unanswered messages admitted a session. */
  unansweredMessages: 64,
  /** Messages in one burst. */
  burstMessages: 64,
  /** Messages an activation's mailbox holds before it parks further ones. */
  mailboxMessages: 128,
  /** Bytes of envelopes an activation's mailbox holds before it parks further messages; of one message it holds any. */
  mailboxBytes: 4_194_304,
  /** Messages of one partition held by a host, unacked. */
  partitionInFlight: 512,
  /** Bytes of them with which no more are pulled. */
  partitionBytes: 33_554_432,
  /** Given-up messages each actor remembers, so that each of them can be redriven once. */
  givenUpIds: 256,
  /** Messages of one partition that wait outside of full mailboxes, their bodies left in the stream. */
  partitionParked: 4_096,
  /** How often a failing handler is run before its message becomes a dead letter. */
  handlerAttempts: 5,
  /** Turns of history kept in a conversation's state and sent to a model. */
  historyTurns: 12,
  /** Bytes of history kept in a conversation's state. */
  historyBytes: 24_576,
  /** How long nobody writes before a conversation's record shrinks to what its next turn needs. */
  idleCloseMs: DAY_MS,
  /** How long an actor is idle before what its next activation would have to gather is kept beside its record. */
  restMs: 60_000,
  /** New message ids of a conversation after which those it remembers are written down beside its turns. */
  indexedIds: 64,
  /** Exported turns that a conversation is given back at once; its outbox has less than a thousand effects. */
  restoredRecords: 256,
  /** Passages given to a model. */
  passages: 6,
  /** How long a turn may take from its first message to its closing. */
  turnDeadlineMs: 60_000,
  /** Latest time of a timer, ms since the epoch: NATS counts nanoseconds, and what 64 bits cannot count is due at once. */
  timerLatestAt: Date.UTC(2262, 0, 1),
  /** Ack wait of inbound messages: takeover does not depend on it. */
  inboundAckWaitMs: 600_000,
  /** Ack wait of inference jobs; progress is acknowledged every third of it. */
  jobAckWaitMs: 3_000,
  /** Deliveries of a job after which it is answered with a failure instead of being run: it may kill workers. */
  jobAttempts: 5,
  /** How often a host says it lives. */
  heartbeatMs: 500,
  /** Silence after which a host is suspected dead. */
  suspectMs: 2_000,
  /** Chunks of a stream are coalesced for this long. */
  chunkMs: 30,
  /** Window in which INFER drops a repeated job id. */
  dedupeWindowMs: 600_000,
  /** How long TOKENS keeps a session's events. */
  tokensAgeMs: 900_000,
  /** How long a dead letter is kept. */
  deadLetterAgeMs: 30 * DAY_MS,
  /** How long a tombstone of an erased session is kept; longer than the longest retention. */
  tombstoneAgeMs: 400 * DAY_MS,
  /** Longest retention of turns that may be configured. */
  retentionDays: 365,
  /** How long a response cache entry lives at most. */
  cacheAgeMs: DAY_MS,
  /** How long a turn waits for the answer to the same question of somebody else before it asks itself. */
  flightWaitMs: 8_000,
  /** Grace a stopping process has to finish what it holds. */
  drainMs: 15_000,
} as const;

const RELATIONS: readonly (readonly [boolean, string])[] = [
  [LIMITS.suspectMs >= 3 * LIMITS.heartbeatMs, "a host is suspected only after three missed heartbeats"],
  [LIMITS.envelopeBytes < LIMITS.payloadBytes, "an envelope fits a NATS payload"],
  [
    LIMITS.recordBytes > LIMITS.stateBytes + 3 * LIMITS.idChars * (LIMITS.processedIds + LIMITS.givenUpIds),
    "the largest state fits with all the ids that an actor remembers",
  ],
  [LIMITS.recordBytes < LIMITS.payloadBytes, "a record fits a NATS payload"],
  [LIMITS.bodyBytes < LIMITS.envelopeBytes, "an accepted body fits an envelope"],
  [LIMITS.documentTextChars < LIMITS.bodyBytes, "a document fits a body"],
  [LIMITS.messageTextChars * 6 <= LIMITS.bodyBytes, "a message's text fits a body, each character escaped"],
  [LIMITS.burstMessages <= LIMITS.mailboxMessages, "a burst fits the mailbox"],
  [LIMITS.mailboxMessages < LIMITS.processedIds, "a redelivered mailbox is remembered whole"],
  [LIMITS.mailboxMessages <= LIMITS.partitionInFlight, "one mailbox cannot exceed its partition"],
  [LIMITS.mailboxBytes + LIMITS.envelopeBytes < LIMITS.partitionBytes, "nor by its bytes"],
  [LIMITS.partitionInFlight <= LIMITS.partitionParked, "one full pull can be parked"],
  [LIMITS.turnDeadlineMs < LIMITS.inboundAckWaitMs, "a turn ends before its message is redelivered"],
  [LIMITS.turnDeadlineMs < LIMITS.dedupeWindowMs, "a job is deduped for longer than a turn lives"],
  [LIMITS.turnDeadlineMs < LIMITS.tokensAgeMs, "a stream can be resumed for longer than a turn lives"],
  [LIMITS.flightWaitMs * 4 <= LIMITS.turnDeadlineMs, "a turn that waited in vain has time left to ask"],
  [LIMITS.turnDeadlineMs > 12_000, "a deadline outlives the loss of a stream leader"],
  [LIMITS.tombstoneAgeMs > LIMITS.retentionDays * DAY_MS, "a tombstone outlives the longest retention"],
  [LIMITS.tombstoneAgeMs > LIMITS.deadLetterAgeMs, "a tombstone outlives whatever may be redriven"],
  [
    LIMITS.indexedIds + LIMITS.burstMessages < LIMITS.processedIds,
    "ids are written down before the ring forgets them",
  ],
  [LIMITS.historyBytes < LIMITS.stateBytes, "history fits the state"],
];
for (const [holds, meaning] of RELATIONS)
  if (!holds) throw new Error(`limits contradict each other: ${meaning}`);
