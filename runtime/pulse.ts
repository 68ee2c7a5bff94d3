/**
 * Periodic work of an idle process that happens together: waking up costs more than what is done then, so whoever can
 * choose waits for the next multiple of its interval on one beat of the process. Processes have beats of their own, so
 * that a machine's workers do not all speak at once.
 */
const OFFSET_MS = Math.random() * 60_000;

/** Time until the next multiple of `everyMs` on this process' beat; at least half an interval, so that none is repeated. */
export function untilPulse(everyMs: number): number {
  const past = (performance.now() + OFFSET_MS) % everyMs;
  return Math.ceil(past > everyMs / 2 ? 2 * everyMs - past : everyMs - past);
}
