/**
 * What the simulated provider would charge for: one line a request, or an item of a batch, so that tests can count what
 * was paid twice.
 */
export interface BillLine {
  /** Number of the request, from 0. */
  readonly n: number;
  readonly id: string;
  readonly at: number;
  readonly model: string;
  readonly stream: boolean;
  /** Job and attempt as jetclaw's headers name them; else any other id that the client sent. */
  readonly job: string | undefined;
  readonly attempt: number | undefined;
  /** Items of the request, each with a line of its own; undefined for a request that is no batch. */
  readonly batch?: number;
  /** What is asked of the usual price; absent where it is all of it. */
  readonly priceShare?: number;
  readonly inputTokens: number;
  /** Part of the input that the server remembered; absent where it remembers nothing. */
  cachedTokens?: number;
  /** Tokens that were sent so far. */
  outputTokens: number;
  /** `open` while it runs, also while it hangs. `aborted`: the client went away first. */
  outcome: "open" | "finished" | "aborted" | "error";
  /** When the outcome was known. */
  endedAt: number | undefined;
}

/** A long benchmark must not grow without end: the oldest lines go first. */
const LINES = 200_000;

export class Bill {
  #lines: BillLine[] = [];
  #dropped = 0;

  add(line: BillLine): BillLine {
    if (this.#lines.length >= LINES) {
      this.#dropped += LINES / 2;
      this.#lines = this.#lines.slice(LINES / 2);
    }
    this.#lines.push(line);
    return line;
  }

  get lines(): readonly BillLine[] {
    return this.#lines;
  }

  /** Lines that were forgotten. */
  get dropped(): number {
    return this.#dropped;
  }

  clear(): void {
    this.#lines = [];
    this.#dropped = 0;
  }
}
