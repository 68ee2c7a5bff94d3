/**
 * The stream of one attempt: text as it comes from the model, coalesced into numbered events. The first chunk leaves
 * at once, because its delay is what a person feels; later ones wait until `LIMITS.chunkMs` have passed.
 */
import { LIMITS } from "#contracts/limits.ts";
import type { StreamEvent } from "#contracts/turn.ts";

export interface ChunkOptions {
  readonly turn: number;
  readonly attempt: number;
  /** `first`: the first words of an attempt. */
  readonly publish: (event: StreamEvent, first: boolean) => void;
}

export class Chunks {
  readonly #options: ChunkOptions;
  #attempt: number;
  #waiting = "";
  #sent = 0;
  #sentAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ChunkOptions) {
    this.#options = options;
    this.#attempt = options.attempt;
  }

  /** How many numbered chunks of the current attempt were published. */
  get sent(): number {
    return this.#sent;
  }

  /** Tells readers that what an earlier attempt streamed is void, and begins the attempt of this number. */
  restart(attempt = this.#attempt): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = "";
    this.#sent = 0;
    this.#sentAt = 0;
    this.#attempt = attempt;
    const { turn, publish } = this.#options;
    publish({ type: "restart", turn, attempt, number: 0 }, false);
  }

  add(text: string): void {
    if (this.#closed || text === "") return;
    this.#waiting += text;
    if (this.#timer !== undefined) return;
    // A timer only for what has to wait: most models speak less often than that.
    const leftMs = LIMITS.chunkMs - Math.max(0, Date.now() - this.#sentAt);
    if (leftMs <= 0) this.#publish();
    else
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#publish();
      }, leftMs);
  }

  /** Sends what waits; nothing is sent afterwards. */
  close(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#publish();
    this.#closed = true;
  }

  #publish(): void {
    if (this.#waiting === "") return;
    const { turn, publish } = this.#options;
    const text = this.#waiting;
    this.#waiting = "";
    this.#sentAt = Date.now();
    const number = ++this.#sent;
    publish({ type: "delta", turn, attempt: this.#attempt, number, text }, number === 1);
  }
}
