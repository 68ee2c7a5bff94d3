/** What a provider takes of our batches, as far as its refusals tell: how much at once, and when to ask again. */
import type { BatchLimits } from "./batcher.ts";

/** Who has no room for a batch, and none of ours, is sent a smaller one after so long; doubled while others keep it full. */
const FULL_MS = 5_000;
const FULL_MOST_MS = 300_000;

export class Intake {
  readonly #configured: BatchLimits;
  #limits: BatchLimits;
  /** In a row, with none of our batches there. */
  #refusals = 0;
  #fullUntil = 0;

  constructor(configured: BatchLimits) {
    this.#configured = configured;
    this.#limits = configured;
  }

  get limits(): BatchLimits {
    return this.#limits;
  }

  isFull(now: number): boolean {
    return now < this.#fullUntil;
  }

  /** For the tokens that wait there. With others under way as many as those are sent from now on, alone half of it, later. */
  refused(tokens: number, inFlight: number, now: number): void {
    if (inFlight > 0) {
      this.#limits = { ...this.#limits, maxInFlight: Math.min(this.#limits.maxInFlight, inFlight) };
      return;
    }
    this.#limits = { ...this.#limits, maxTokens: Math.max(1, Math.floor(tokens / 2)) };
    this.#fullUntil = now + Math.min(FULL_MOST_MS, FULL_MS * 2 ** Math.min(10, this.#refusals++));
  }

  /** Twice as much, or one more, may be taken too, up to what is configured. */
  taken(): void {
    this.#refusals = 0;
    const { maxTokens, maxInFlight } = this.#limits;
    this.#limits = {
      ...this.#configured,
      maxTokens: Math.min(this.#configured.maxTokens, maxTokens * 2),
      maxInFlight: Math.min(this.#configured.maxInFlight, maxInFlight + 1),
    };
  }
}
