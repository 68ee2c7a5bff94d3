/**
 * Slots that only ongoing conversations get, learnt from how long their jobs waited. A fixed reserve is too small for one
 * load and wastes capacity under another; what is wanted is that an ongoing job hardly ever waits. So the reserve follows
 * a quantile: up by a slot for a job that waited, down by a fraction for one that did not, which comes to rest where one
 * job in `1 / WAITING_SHARE` waits. Pure. Source of the method: Robbins and Monro, A Stochastic Approximation Method, 1951.
 */

/** So few ongoing jobs may wait longer than their patience; below the twentieth that p95 looks at. */
const WAITING_SHARE = 1 / 32;
/** Never more of the slots than this, however long they wait: then it is not the others who hold them up. */
const MOST_SHARE = 1 / 4;
/** A wait is noticed from this share of a job's usual time on, */
const PATIENCE_SHARE = 1 / 20;
/** and never below the time that a job takes from its storage to a worker that waits for it. */
const LEAST_PATIENCE_MS = 25;

/** @param reserve slots, a fraction of one included @returns the same after one more ongoing job */
export function learnReserve(
  reserve: number,
  seen: { readonly waitedMs: number; readonly usualMs: number; readonly slots: number },
): number {
  const patienceMs = Math.max(LEAST_PATIENCE_MS, seen.usualMs * PATIENCE_SHARE);
  const step = seen.waitedMs > patienceMs ? 1 : -WAITING_SHARE / (1 - WAITING_SHARE);
  return Math.max(0, Math.min(seen.slots * MOST_SHARE, reserve + step));
}

/** Clocks drift apart, and a server that leads now may be another one: what was seen longer ago counts no more. */
const LEAST_WINDOW_MS = 60_000;

/**
 * How long jobs waited, where those who store them and those who take them have clocks of their own: longer than the one
 * that waited least of those lately, which hardly waited at all.
 */
export class Waits {
  /** Least lag of the clock here behind the storage of a job, in this window and in the one before. */
  #least = Number.POSITIVE_INFINITY;
  #before = Number.POSITIVE_INFINITY;
  #sinceAt = Number.NEGATIVE_INFINITY;

  /** @param storedAt by the server's clock @param now by a clock that never jumps, from any beginning @returns ms */
  of(storedAt: number, now: number): number {
    const ageMs = now - this.#sinceAt;
    if (ageMs >= LEAST_WINDOW_MS) {
      this.#before = ageMs < 2 * LEAST_WINDOW_MS ? this.#least : Number.POSITIVE_INFINITY;
      this.#least = Number.POSITIVE_INFINITY;
      this.#sinceAt = now;
    }
    const lagMs = now - storedAt;
    this.#least = Math.min(this.#least, lagMs);
    return lagMs - Math.min(this.#least, this.#before);
  }
}

/** Whole slots of a reserve. */
export const reservedSlots = (reserve: number, slots: number): number =>
  Math.min(Math.floor(slots * MOST_SHARE), Math.round(reserve));
