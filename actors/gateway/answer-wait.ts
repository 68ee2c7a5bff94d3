/**
 * Waits for the answer to one message: learns its turn from the `turn` event that names the message, relays the turn's
 * events in order, and looks the message up when nothing is heard, because live events are published at most once.
 */
import type { Conversations } from "#actors/conversation/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import { type Answer, answerOfTurn, type StreamEvent, type TranscriptTurn } from "#contracts/turn.ts";
import type { Log } from "#runtime/observe/log.ts";
import { endOfTurn, OrderedEvents } from "./ordered-events.ts";
import { WaitEnded } from "./problems.ts";

export interface AnswerWaitOptions {
  readonly conversations: Conversations;
  readonly tenant: string;
  readonly session: string;
  /** The message whose answer is waited for. */
  readonly id: string;
  /** The client chose the id: it may be a repeat whose turn is closed already. */
  readonly mayBeRepeat: boolean;
  readonly waitMs: number;
  readonly repeatCheckMs: number;
  readonly quietCheckMs: number;
  readonly log: Log;
  /** The turn's events in order, `done` last. */
  readonly onEvent?: ((event: StreamEvent) => void) | undefined;
}

/** Events kept while the message's turn is unknown. */
const EARLY = 2_048;
/** A known turn that is silent is looked up this many times less often than an unknown one. */
const KNOWN_TURN_PATIENCE = 5;

export class AnswerWait {
  readonly answer: Promise<Answer>;
  readonly #options: AnswerWaitOptions;
  readonly #ordered: OrderedEvents;
  #resolve: (answer: Answer) => void = () => {};
  #reject: (error: JetclawError) => void = () => {};
  #settled = false;
  #turn: number | undefined;
  #seq: number | undefined;
  #early: StreamEvent[] = [];
  #heardAt = 0;
  #check: NodeJS.Timeout | undefined;
  #end: NodeJS.Timeout | undefined;

  constructor(options: AnswerWaitOptions) {
    this.#options = options;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever left does not ask for the answer any more.
    this.answer.catch(() => {});
    const { conversations, tenant, session } = options;
    this.#ordered = new OrderedEvents({
      deliver: (event) => this.#deliver(event),
      replayFrom: async (turn) =>
        (await conversations.replay(tenant, session, endOfTurn(turn - 1))).filter((e) => e.turn === turn),
      onReplayFailed: (err) => options.log.debug({ err }, "events of a turn cannot be read now"),
    });
  }

  /** Each event of the session, from before the message was published. */
  offer(event: StreamEvent): void {
    if (this.#settled) return;
    if (this.#turn === undefined && event.type === "turn" && event.messages?.includes(this.#options.id))
      this.#adopt(event);
    else if (this.#turn === undefined) {
      if (this.#early.push(event) > EARLY) this.#early.shift();
    } else if (event.turn === this.#turn) {
      this.#heardAt = performance.now();
      this.#ordered.offer(event);
    }
  }

  /** The message is stored under this sequence: from now on the answer may be waited for. */
  published(seq: number): void {
    if (this.#settled) return;
    this.#seq = seq;
    const { mayBeRepeat, repeatCheckMs, quietCheckMs, waitMs } = this.#options;
    this.#end = setTimeout(() => this.end(), waitMs);
    this.#checkIn(mayBeRepeat ? repeatCheckMs : quietCheckMs);
  }

  /** Who waits is told where the turn goes on. */
  end(): void {
    const { session, id } = this.#options;
    this.#fail(new WaitEnded({ session, id, ...(this.#turn === undefined ? {} : { turn: this.#turn }) }));
  }

  /** Nobody waits any more. The turn goes on. */
  cancel(): void {
    this.#fail(new JetclawError("turn.timeout"));
  }

  #adopt(event: StreamEvent): void {
    this.#turn = event.turn;
    this.#heardAt = performance.now();
    const early = this.#early;
    this.#early = [];
    this.#ordered.offer(event);
    for (const other of early) if (other.turn === event.turn) this.#ordered.offer(other);
  }

  #deliver(event: StreamEvent): void {
    if (this.#settled) return;
    this.#options.onEvent?.(event);
    if (event.type === "error") this.#fail(new JetclawError("turn.failed", event.text || undefined));
    else if (event.type === "done" && event.answer) this.#succeed(event.answer);
    else if (event.type === "done") void this.#lookUp();
  }

  #checkIn(ms: number): void {
    clearTimeout(this.#check);
    if (this.#settled) return;
    this.#check = setTimeout(() => {
      const patience = this.#turn === undefined ? 1 : KNOWN_TURN_PATIENCE;
      const quietMs = performance.now() - this.#heardAt;
      const due = this.#turn === undefined || quietMs >= this.#options.quietCheckMs * patience;
      const next = (): void => this.#checkIn(this.#options.quietCheckMs * patience);
      if (due) this.#lookUp().finally(next);
      else next();
    }, ms);
  }

  /** Looks the message up: its turn, and the answer when the turn is closed. */
  async #lookUp(): Promise<void> {
    const { conversations, tenant, session, id, log } = this.#options;
    let found: TranscriptTurn | undefined;
    try {
      found = await conversations.turnOf(tenant, session, id, this.#seq);
    } catch (err) {
      // It was erased: nothing will come of the message.
      if (err instanceof JetclawError && err.code === "session.not-found") return this.#fail(err);
      log.debug({ err }, "the turn of a message cannot be looked up now");
      return;
    }
    if (!found || this.#settled) return;
    if (this.#turn === undefined) {
      this.#turn = found.turn;
      this.#heardAt = performance.now();
    }
    const reading = this.#ordered.readTurn(found.turn);
    const early = this.#early;
    this.#early = [];
    for (const event of early) if (event.turn === this.#turn) this.#ordered.offer(event);
    await reading;
    if (found.reply === null || this.#settled) return;
    // The stream kept nothing of it, so the record has to do.
    const answer = answerOfTurn(session, found);
    this.#options.onEvent?.({ type: "done", turn: found.turn, ...LAST_KNOWN, text: answer.reply, answer });
    this.#succeed(answer);
  }

  #succeed(answer: Answer): void {
    if (this.#close()) this.#resolve(answer);
  }

  #fail(error: JetclawError): void {
    if (this.#close()) this.#reject(error);
  }

  #close(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    clearTimeout(this.#check);
    clearTimeout(this.#end);
    this.#early = [];
    return true;
  }
}

/** Position of a `done` made from the transcript: after everything else of the turn. */
const LAST_KNOWN = { attempt: endOfTurn(0).attempt, number: endOfTurn(0).number } as const;
