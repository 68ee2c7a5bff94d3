/**
 * How many requests a model gets at once: additive increase, multiplicative decrease. It shares a limit fairly among
 * workers that do not know of each other: D.-M. Chiu, R. Jain, "Analysis of the increase and decrease algorithms for
 * congestion avoidance", Computer Networks and ISDN Systems 17 (1989); the increase only near the limit is from
 * Netflix' concurrency-limits, `AIMDLimit`. Pure.
 */

export interface Limit {
  /** Never above what is configured, never below 1; whole requests are `allowed`. */
  readonly value: number;
  readonly most: number;
  /** The last decrease: requests that began before it saw the same congestion and do not count again. */
  readonly decreasedAt: number;
}

const DECREASE = 0.7;

export const fullLimit = (most: number): Limit => ({
  value: most,
  most,
  decreasedAt: Number.NEGATIVE_INFINITY,
});

export const allowed = ({ value }: Limit): number => Math.max(1, Math.floor(value));

/** A request succeeded while `running` were under way, itself included. About one step up a round of requests. */
export function increase(limit: Limit, running: number): Limit {
  // A limit that is not used proves nothing about a higher one.
  if (limit.value >= limit.most || running * 2 < limit.value) return limit;
  return { ...limit, value: Math.min(limit.most, limit.value + 1 / limit.value) };
}

/** A request was limited, timed out or met an overloaded server. */
export function decrease(limit: Limit, startedAt: number, now: number): Limit {
  if (startedAt < limit.decreasedAt) return limit;
  return { ...limit, value: Math.max(1, limit.value * DECREASE), decreasedAt: now };
}
