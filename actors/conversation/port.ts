/** What other rooms see of conversations: send, stop, erase, read, and follow the events of a session. */
import type { TraceContext } from "#contracts/envelope.ts";
import type { EraseReceipt, StreamEvent, Transcript, TranscriptTurn, UserMessage } from "#contracts/turn.ts";

export interface IncomingMessage {
  readonly tenant: string;
  readonly session: string;
  /** Idempotency key of the message: the client's own, or a fresh one. */
  readonly id: string;
  readonly body: UserMessage;
  readonly trace?: TraceContext | undefined;
}

export interface SessionLine {
  readonly tenant: string;
  readonly session: string;
  readonly status: "idle" | "collecting" | "answering" | "erased";
  /** Turns it has counted. */
  readonly turns: number;
  readonly channel: string;
  /** Ms since the epoch; of an erased one when that was. */
  readonly createdAt: number;
  readonly bytes: number;
}

export interface SessionPage {
  readonly sessions: readonly SessionLine[];
  /** Where the next page begins; undefined on the last one. */
  readonly next?: string | undefined;
}

export interface SessionQuery {
  readonly tenant?: string | undefined;
  /** `next` of the page before. */
  readonly from?: string | undefined;
  readonly limit?: number | undefined;
}

export interface Extent {
  /** Number of the last turn, also of one that collects its messages; 0 where nobody has written. */
  readonly turn: number;
  /** The last turn that was erased; 0 where none was. */
  readonly erasedTurn: number;
  /** Sequence up to which messages were erased; 0 where none was. */
  readonly erasedSeq: number;
}

export interface Conversations {
  /** The conversations that have a record, erased ones too. @throws JetclawError `nats.unavailable` */
  list(query: SessionQuery): Promise<SessionPage>;
  /**
   * Publishes a user's message durably. Resolves when it can no longer be lost, with its sequence.
   * @throws JetclawError `nats.unavailable`, `nats.too-large`
   */
  send(message: IncomingMessage): Promise<number>;
  /** Asks for the end of the running turn; harmless when none runs. */
  stop(tenant: string, session: string): Promise<void>;
  /** Thumbs for a turn. @throws JetclawError `session.not-found` */
  feedback(
    tenant: string,
    session: string,
    turn: number,
    value: "up" | "down",
    comment?: string,
  ): Promise<void>;
  /** Erases the conversation and everything of it. Undefined when there was none. */
  erase(tenant: string, session: string): Promise<EraseReceipt | undefined>;
  /** Whether the conversation has begun: its first message was processed, and it was not erased since. */
  exists(tenant: string, session: string): Promise<boolean>;
  /** The whole conversation in order, a running turn last; undefined when there is none (or it was erased). */
  transcript(tenant: string, session: string): Promise<Transcript | undefined>;
  /**
   * The turn that answers a message, or that it waits for; undefined where no turn has it yet. Costs the same for a
   * conversation of very many turns as for one of a few.
   * @param seq of the message: no turn comes of it where the conversation was erased after it
   * @throws JetclawError `session.not-found` where it was
   */
  turnOf(tenant: string, session: string, message: string, seq?: number): Promise<TranscriptTurn | undefined>;
  /** How far a conversation goes, and what of it was erased, by one read of its record. */
  extent(tenant: string, session: string): Promise<Extent>;
  /** Live events of a session from now on. Resolves when the server has the subscription. */
  follow(tenant: string, session: string, onEvent: (event: StreamEvent) => void): Promise<{ stop(): void }>;
  /**
   * Stored events after the given one, or all that are kept, in order. Falls back to one `done` a closed turn when the
   * stream in memory is gone.
   */
  replay(
    tenant: string,
    session: string,
    after?: { turn: number; attempt: number; number: number },
  ): Promise<StreamEvent[]>;
}
