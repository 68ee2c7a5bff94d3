/**
 * One subscription a session, however many requests of this gateway concern it, and the count of messages that this
 * gateway accepted and no turn has answered yet.
 */
import type { Conversations } from "#actors/conversation/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { StreamEvent } from "#contracts/turn.ts";
import type { Clock } from "#runtime/clock.ts";
import { metrics } from "#runtime/observe/metrics.ts";

type Listener = (event: StreamEvent) => void;

interface Unanswered {
  /** The turn that claimed it. */
  turn: number | undefined;
  /** Where it was stored. */
  seq: number | undefined;
  readonly at: number;
  /** How many requests brought it. */
  requests: number;
}

/** The place of one message: given back where the message was not accepted after all. */
export interface Place {
  accepted(seq: number): void;
  release(): void;
}

interface Session {
  readonly key: string;
  readonly listeners: Set<Listener>;
  /** By message id. */
  readonly unanswered: Map<string, Unanswered>;
  readonly subscription: Promise<{ stop(): void }>;
  /** The record is read for what was erased. */
  looking?: Promise<void> | undefined;
}

export interface HubOptions {
  readonly conversations: Conversations;
  readonly clock: Clock;
  readonly unansweredMessages: number;
  /** After this long a message counts as answered, whatever was heard. */
  readonly forgetMs: number;
}

const RETRY_AFTER_SECONDS = 2;

export class SessionHub {
  readonly #options: HubOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(1_000, options.forgetMs / 8)).unref();
  }

  /** Sessions subscribed to. */
  get size(): number {
    return this.#sessions.size;
  }

  /**
   * Reserves the place of one message, then subscribes; resolves when the server has the subscription.
   * @throws JetclawError `mailbox.full`, before anything else is done
   */
  async admit(tenant: string, session: string, id: string): Promise<Place> {
    if (this.#isFull(tenant, session, id)) await this.#forgetErased(tenant, session);
    const held = this.#session(tenant, session);
    const { unanswered } = held;
    // One that is sent again has the place, and the turn, that it has.
    const known = unanswered.get(id);
    if (this.#isFull(tenant, session, id)) {
      metrics.refusals({ reason: "mailbox.full" });
      throw new JetclawError("mailbox.full", `${unanswered.size} unanswered`, {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    const mine = known ?? { turn: undefined, seq: undefined, at: this.#options.clock.now(), requests: 0 };
    mine.requests++;
    unanswered.set(id, mine);
    const accepted = (seq: number): void => {
      mine.seq = seq;
    };
    const release = (): void => {
      // Another request may have brought it.
      if (--mine.requests === 0 && unanswered.get(id) === mine) unanswered.delete(id);
      this.#closeIdle(held);
    };
    try {
      await held.subscription;
    } catch (error) {
      release();
      throw error;
    }
    return { release, accepted };
  }

  #isFull(tenant: string, session: string, id: string): boolean {
    const unanswered = this.#sessions.get(keyOf(tenant, session))?.unanswered;
    return !!unanswered && !unanswered.has(id) && unanswered.size >= this.#options.unansweredMessages;
  }

  /** What was erased gets no answer. Asked only where a message would be refused, once for all that come meanwhile. */
  async #forgetErased(tenant: string, session: string): Promise<void> {
    const held = this.#session(tenant, session);
    held.looking ??= this.#options.conversations
      .extent(tenant, session)
      .then(({ erasedSeq }) => {
        for (const [id, { seq = Number.POSITIVE_INFINITY }] of held.unanswered)
          if (seq <= erasedSeq) held.unanswered.delete(id);
      })
      // Then the refusal stands.
      .catch(() => {})
      .finally(() => {
        held.looking = undefined;
        this.#closeIdle(held);
      });
    await held.looking;
  }

  /** Whether this gateway accepted a message of the session that no turn has answered yet. */
  awaits(tenant: string, session: string): boolean {
    return (this.#sessions.get(keyOf(tenant, session))?.unanswered.size ?? 0) > 0;
  }

  /** A wait learned otherwise (from the transcript) that a message has its answer. */
  answered(tenant: string, session: string, id: string): void {
    const held = this.#sessions.get(keyOf(tenant, session));
    if (!held) return;
    held.unanswered.delete(id);
    this.#closeIdle(held);
  }

  /** Events from now on. Resolves when the server has the subscription. */
  async listen(tenant: string, session: string, listener: Listener): Promise<{ stop(): void }> {
    const held = this.#session(tenant, session);
    held.listeners.add(listener);
    const stop = (): void => {
      held.listeners.delete(listener);
      this.#closeIdle(held);
    };
    try {
      await held.subscription;
    } catch (error) {
      stop();
      throw error;
    }
    return { stop };
  }

  #session(tenant: string, session: string): Session {
    const key = keyOf(tenant, session);
    const existing = this.#sessions.get(key);
    if (existing) return existing;
    const listeners = new Set<Listener>();
    const unanswered: Session["unanswered"] = new Map();
    const made: Session = {
      key,
      listeners,
      unanswered,
      subscription: this.#options.conversations.follow(tenant, session, (event) => {
        settle(unanswered, event);
        for (const listener of [...listeners]) listener(event);
        this.#closeIdle(made);
      }),
    };
    this.#sessions.set(key, made);
    // A failed subscription is reported to whoever waits for it and not kept for the next.
    made.subscription.catch(() => this.#forget(made));
    return made;
  }

  #closeIdle(session: Session): void {
    if (session.listeners.size > 0 || session.unanswered.size > 0) return;
    if (!this.#forget(session)) return;
    session.subscription.then(
      (subscription) => subscription.stop(),
      () => {},
    );
  }

  #forget(session: Session): boolean {
    return this.#sessions.get(session.key) === session && this.#sessions.delete(session.key);
  }

  #sweep(): void {
    const oldest = this.#options.clock.now() - this.#options.forgetMs;
    for (const session of this.#sessions.values()) {
      for (const [id, { at }] of session.unanswered) if (at < oldest) session.unanswered.delete(id);
      this.#closeIdle(session);
    }
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const session of this.#sessions.values()) {
      session.unanswered.clear();
      session.listeners.clear();
      this.#closeIdle(session);
    }
  }
}

// White space is in no id, so two pairs never make one key.
const keyOf = (tenant: string, session: string): string => `${tenant} ${session}`;

function settle(unanswered: Session["unanswered"], event: StreamEvent): void {
  if (event.type === "turn") {
    for (const id of event.messages ?? []) {
      const message = unanswered.get(id);
      if (message) message.turn = event.turn;
    }
  } else if (event.type === "done" || event.type === "error") {
    for (const [id, { turn }] of unanswered) if (turn === event.turn) unanswered.delete(id);
  }
}
