/**
 * Whether this process may rely on its index. Others wait for a reader's position only while they hear its beats, for
 * `LIMITS.suspectMs`. A process that was frozen or cut off for nearly that long may have been left out of a wait, so
 * from then on it is suspect until it has caught up with the stream's leader.
 *
 *   fresh --- no own beat came back for 1.5 s ---> suspect --- heard again, caught up with the leader ---> fresh
 */
import { LIMITS } from "#contracts/limits.ts";

/** Less than the others' patience by what a beat and its way may take. */
export const FRESH_GAP_MS = LIMITS.suspectMs - LIMITS.heartbeatMs;

export class Freshness {
  /** When the newest beat that came back was sent, monotonic ms. */
  #heardAt: number;
  #suspect = false;

  constructor(now: number) {
    this.#heardAt = now;
  }

  /** A beat of our own came back from the server. */
  heard(sentAt: number): void {
    this.#notice(sentAt);
    this.#heardAt = Math.max(this.#heardAt, sentAt);
  }

  hasHeardSince(at: number): boolean {
    return this.#heardAt >= at;
  }

  fresh(now: number): boolean {
    this.#notice(now);
    return !this.#suspect;
  }

  /** What the index holds may not be there any more. */
  doubt(): void {
    this.#suspect = true;
  }

  /** The index has passed what the leader had after a beat came back. */
  caughtUp(): void {
    this.#suspect = false;
  }

  #notice(at: number): void {
    if (at - this.#heardAt > FRESH_GAP_MS) this.#suspect = true;
  }
}
