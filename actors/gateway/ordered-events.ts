/**
 * Puts a session's events in order: by turn, attempt and number, without gap or repeat; the highest attempt wins.
 * Live events are published at most once and may overtake each other; what is missing is read from the store.
 */
import type { StreamEvent } from "#contracts/turn.ts";

export interface Position {
  readonly turn: number;
  readonly attempt: number;
  readonly number: number;
}

/** Larger than any attempt or number, inside what `Last-Event-ID` may say: with it a position is the end of a turn. */
const LAST = 999_999_999;
export const endOfTurn = (turn: number): Position => ({ turn, attempt: LAST, number: LAST });

export interface OrderedOptions {
  readonly deliver: (event: StreamEvent) => void;
  /** Everything stored of this turn and later ones. A rejected promise means that the store cannot be read now. */
  readonly replayFrom: (turn: number) => Promise<readonly StreamEvent[]>;
  readonly onReplayFailed?: ((error: unknown) => void) | undefined;
}

interface Turn {
  attempt: number;
  number: number;
  /** A delta of this attempt went out: a higher attempt must begin with a restart. */
  spoken: boolean;
  closed: boolean;
  /** The position is a client's `Last-Event-ID`; nothing of this turn went out here yet. */
  resumed: boolean;
}

/** Turns remembered; events of older ones are dropped. */
const TURNS = 8;
/** Live events held while the store is read; beyond it the oldest are dropped, which the store makes good. */
const HELD = 10_000;

const closes = (event: StreamEvent): boolean => event.type === "done" || event.type === "error";

export class OrderedEvents {
  readonly #options: OrderedOptions;
  readonly #turns = new Map<number, Turn>();
  #floor = Number.NEGATIVE_INFINITY;
  /** Events that came while the store is read; undefined when it is not. */
  #held: StreamEvent[] | undefined;

  constructor(options: OrderedOptions) {
    this.#options = options;
  }

  /** Begins after a position that the client has seen. Call `offer` for live events from before this call on. */
  async resume(after: Position): Promise<void> {
    this.#floor = after.turn - 1;
    const { attempt, number } = after;
    this.#turns.set(after.turn, {
      attempt,
      number,
      spoken: attempt > 0 && number > 0,
      closed: attempt === LAST,
      resumed: true,
    });
    await this.#fill(after.turn);
  }

  /** Begins with everything the store has of one turn. */
  async readTurn(turn: number): Promise<void> {
    await this.#fill(turn);
  }

  offer(event: StreamEvent): void {
    if (this.#held) {
      if (this.#held.push(event) > HELD) this.#held.shift();
    } else if (this.#isGap(event)) {
      void this.#fill(event.turn, event);
    } else this.#accept(event);
  }

  /** The first turn that is open; undefined where none is. */
  get open(): number | undefined {
    const open = [...this.#turns].filter(([, { closed }]) => !closed).map(([turn]) => turn);
    return open.length > 0 ? Math.min(...open) : undefined;
  }

  /** The store may have more of a turn that went quiet. Resolves at once when none is open. */
  async refill(): Promise<void> {
    const { open } = this;
    if (open !== undefined && !this.#held) await this.#fill(open);
  }

  /**
   * Live events may have been lost unnoticed: reads the store from the last turn known on. Nothing is known to a stream
   * that began with live events and has seen none; it goes on with what comes.
   */
  async catchUp(): Promise<void> {
    const last = Math.max(...this.#turns.keys());
    if (Number.isFinite(last) && !this.#held) await this.#fill(last);
  }

  /** Something is missing before this event. */
  #isGap(event: StreamEvent): boolean {
    if (event.turn <= this.#floor) return false;
    const turn = this.#turns.get(event.turn);
    if (!turn) return event.type !== "turn";
    if (turn.closed || event.attempt < turn.attempt) return false;
    const next = event.attempt === turn.attempt ? turn.number + 1 : 1;
    return event.number > next;
  }

  /** `missed` is the event before which something is missing. */
  async #fill(turn: number, missed?: StreamEvent): Promise<void> {
    this.#held ??= [];
    let stored: readonly StreamEvent[] = [];
    try {
      stored = await this.#options.replayFrom(turn);
    } catch (error) {
      this.#options.onReplayFailed?.(error);
    }
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of stored) this.#accept(event);
    // What is still missing before it is lost; `done` carries the full text.
    if (missed) this.#accept(missed);
    // These came after the store was asked, so what is missing before them is worth another look.
    for (const event of held) this.offer(event);
  }

  /** Delivers an event unless it is old. Gaps were dealt with before. */
  #accept(event: StreamEvent): void {
    if (event.turn <= this.#floor) return;
    const turn = this.#turns.get(event.turn) ?? this.#open(event.turn);
    if (turn.closed) return;
    const older =
      event.attempt < turn.attempt || (event.attempt === turn.attempt && event.number <= turn.number);
    if (closes(event)) {
      // `done` is the last of its attempt: what a client has seen at its place was this event.
      if (turn.resumed && event.attempt === turn.attempt && event.number <= turn.number) return;
      // A turn closed by someone else than the worker that spoke last may carry a lower position: move it to the end.
      const last = older ? { ...event, attempt: turn.attempt, number: turn.number + 1 } : event;
      turn.closed = true;
      this.#advance(turn, last);
      return;
    }
    if (older) return;
    if (event.attempt > turn.attempt) {
      if (turn.spoken && event.type !== "restart")
        this.#options.deliver({
          type: "restart",
          turn: event.turn,
          attempt: event.attempt,
          number: 0,
          text: "",
        });
      turn.spoken = false;
    }
    this.#advance(turn, event);
  }

  #advance(turn: Turn, event: StreamEvent): void {
    turn.resumed = false;
    turn.attempt = event.attempt;
    turn.number = event.number;
    if (event.type === "delta") turn.spoken = true;
    this.#options.deliver(event);
  }

  #open(number: number): Turn {
    const turn = { attempt: -1, number: -1, spoken: false, closed: false, resumed: false };
    this.#turns.set(number, turn);
    if (this.#turns.size > TURNS) {
      const oldest = Math.min(...this.#turns.keys());
      this.#turns.delete(oldest);
      this.#floor = Math.max(this.#floor, oldest);
    }
    return turn;
  }
}
