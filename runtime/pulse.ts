/**
 * Periodic work of an idle process that happens together: waking up costs more than what is done then, so whoever can
 * choose waits for the next multiple of its interval on one beat of the process. Processes have beats of their own, so
 * that a machine's workers do not all speak at once.
 */
const OFFSET_MS = Math.random() * 60_000;

/** A timer that fired a little early is not to fire again at once. */
const EARLY_MS = 5;

/** Time until the next multiple of `everyMs` on this process' beat. */
export function untilPulse(everyMs: number): number {
  const left = Math.ceil(everyMs - ((performance.now() + OFFSET_MS) % everyMs));
  return left > EARLY_MS ? left : left + everyMs;
}
