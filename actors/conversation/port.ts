/** What other rooms see of conversations: send, stop, erase, read, and follow the events of a session. */
import type { TraceContext } from "#contracts/envelope.ts";
import type { EraseReceipt, StreamEvent, Transcript, UserMessage } from "#contracts/turn.ts";

export interface IncomingMessage {
  readonly tenant: string;
  readonly session: string;
  /** Idempotency key of the message: the client's own, or a fresh one. */
  readonly id: string;
  readonly body: UserMessage;
  /** Absolute, ms since the epoch. */
  readonly deadline?: number;
  readonly trace?: TraceContext | undefined;
}

export interface Conversations {
  /**
   * Publishes a user's message durably. Resolves when it can no longer be lost.
   * @throws JetclawError `nats.unavailable`, `nats.too-large`
   */
  send(message: IncomingMessage): Promise<void>;
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
